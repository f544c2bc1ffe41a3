"""One server and one application for all tests, a corner of the application and callers for each."""

import pytest
import support
from twilio.rest import Client


@pytest.fixture(scope="session")
def application():
    application = support.Application()
    yield application
    application.close()


@pytest.fixture(scope="session")
def server(application):
    server = support.Server(application)
    yield server
    server.close()


@pytest.fixture(scope="session")
def speaking_server(application):
    """A server that really speaks, for what only the ear can tell."""
    server = support.Server(application, engine="pico")
    yield server
    server.close()


@pytest.fixture
def case(application):
    """The test's corner of the application. Every request it received is checked by Twilio's validator."""
    case = support.Case(application)
    yield case
    case.check_requests()


@pytest.fixture
def call(server, application):
    """Makes calls, and ends those that still run."""
    callers = []

    def make(flow="/hold", at=None, **parameters):
        callers.append(support.Caller(at or server, application, flow, **parameters))
        return callers[-1]

    yield make
    for caller in callers:
        caller.close()


@pytest.fixture
def run(call, case):
    """Runs a document that the application answers to a Redirect."""

    def run(document, **arguments):
        case.documents["document"] = document
        return call("/entry", document=case.url("document"), **arguments)

    return run


@pytest.fixture
def client(server):
    """Twilio's client; the base URL is all that differs from Twilio."""
    client = Client(support.ACCOUNT, support.TOKEN)
    client.api.base_url = server.base
    return client


@pytest.fixture
def live_call(call):
    """A call that waits, as one does whose caller speaks with an agent."""

    def make(**parameters):
        return call("/hold", **parameters).is_live()

    return make
