"""Twilio's Calls REST, through client objects of which only the base URL was changed."""

import datetime

import pytest
import requests
from support import ACCOUNT, CARD, PATIENCE, TOKEN, call_sid
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client
from twilio.twiml.voice_response import VoiceResponse


def refusal(action):
    """The exception that the library makes of a refusal."""
    with pytest.raises(TwilioRestException) as raised:
        action()
    return raised.value


def playing(url):
    document = VoiceResponse()
    document.play(url)
    return document


def raw(server, method, path, auth=(ACCOUNT, TOKEN), **arguments):
    """A request without the library, for what it hides."""
    url = f"{server.base}/2010-04-01/Accounts/{ACCOUNT}/{path}"
    return requests.request(method, url, auth=auth, timeout=PATIENCE, **arguments)


def test_calls_fetch_shows_a_live_call(client, live_call):
    caller = live_call(From="+15551230001", To="+15551230002")
    call = client.calls(caller.call_sid).fetch()
    assert (call.sid, call.account_sid, call.status) == (caller.call_sid, ACCOUNT, "in-progress")
    assert (call._from, call.to, call.direction) == ("+15551230001", "+15551230002", "inbound")
    assert call.api_version == "2010-04-01"
    for date in (call.date_created, call.date_updated, call.start_time):
        assert isinstance(date, datetime.datetime), "RFC 2822, else the library has no date"
    assert call.end_time is None
    assert call.uri == f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{caller.call_sid}.json"
    assert call.subresource_uris["payments"] == f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{caller.call_sid}/Payments.json"


def test_calls_list_and_stream_page_through_all_calls_of_a_status(client, live_call):
    callers = [live_call() for _ in range(5)]
    expected = {caller.call_sid for caller in callers}
    listed = client.calls.list(status="in-progress")
    assert expected <= {call.sid for call in listed}
    assert all(call.status == "in-progress" for call in listed)
    paged = [call.sid for call in client.calls.stream(status="in-progress", page_size=2)]
    assert expected <= set(paged) and len(paged) == len(set(paged)), "page by page, none twice"
    assert len(client.calls.list(status="in-progress", limit=3)) == 3
    page = client.calls.page(status="in-progress", page_size=2)
    assert len(list(page)) == 2
    assert page.next_page_url.startswith(client.api.base_url), "the next page is asked at the same base URL"
    assert len(list(page.next_page())) == 2
    assert not expected & {call.sid for call in client.calls.list(status="completed")}
    assert not expected & {call.sid for call in client.calls.list(status="ringing")}


def test_calls_list_filters_by_From_and_To(client, live_call):
    one, other = live_call(From="+15551110001", To="+15551110002"), live_call(From="+15551110003")
    assert [call.sid for call in client.calls.list(from_="+15551110001")] == [one.call_sid]
    assert [call.sid for call in client.calls.list(to="+15551110002")] == [one.call_sid]
    assert [call.sid for call in client.calls.list(from_="+15551110003")] == [other.call_sid]


def test_calls_update_twiml_runs_the_document_at_once(client, live_call, case):
    caller = live_call()
    call = client.calls(caller.call_sid).update(twiml=str(playing(case.sound("new document"))))
    assert (call.sid, call.status) == (caller.call_sid, "in-progress")
    caller.hear_sound("new document")
    caller.hear_out()


def test_calls_update_twiml_runs_a_Pay(client, live_call, case):
    caller = live_call()
    document = VoiceResponse()
    document.pay(charge_amount="20.45", action=case.url("paid"), status_callback=case.url("status"))
    client.calls(caller.call_sid).update(twiml=document)
    caller.pay(CARD)
    assert case.action()["Result"] == "success"


@pytest.mark.parametrize("method", ["POST", "GET", None])
def test_calls_update_url_fetches_the_document_by_method(client, live_call, case, method):
    caller = live_call()
    case.documents["next"] = playing(case.sound("fetched"))
    options = {"method": method} if method else {}
    client.calls(caller.call_sid).update(url=case.url("next"), **options)
    caller.hear_sound("fetched")
    request = case.wait("next")
    assert request.method == (method or "POST")
    assert (request["CallSid"], request["AccountSid"], request["CallStatus"]) == (caller.call_sid, ACCOUNT, "in-progress")


def test_calls_update_status_completed_hangs_up(client, live_call):
    caller = live_call()
    call = client.calls(caller.call_sid).update(status="completed")
    assert (call.sid, call.status) == (caller.call_sid, "completed")
    caller.hear_out()


def test_calls_update_of_an_ended_call_is_refused(client, live_call):
    caller = live_call()
    client.calls(caller.call_sid).update(status="completed")
    caller.hear_out()
    error = refusal(lambda: client.calls(caller.call_sid).update(twiml="<Response/>"))
    assert error.status in (400, 404)
    assert error.code in (21220, 20404)


def test_calls_that_do_not_exist_are_20404(client):
    for action in (client.calls(call_sid()).fetch, lambda: client.calls(call_sid()).update(status="completed")):
        error = refusal(action)
        assert (error.status, error.code) == (404, 20404)
        assert error.msg


@pytest.mark.parametrize(
    "options",
    [
        {"twiml": "<Response"},
        {"twiml": "<Answer/>"},
        {"url": "nonsense"},
        {"url": "mailto:nobody@example.com"},
        {"status": "golden"},
        {"url": "http://127.0.0.1:9/", "method": "PUT"},
        {},
    ],
)
def test_calls_update_with_nonsense_is_400_and_the_call_goes_on(client, live_call, options):
    caller = live_call()
    error = refusal(lambda: client.calls(caller.call_sid).update(**options))
    assert error.status == 400
    assert isinstance(error.code, int) and error.msg
    assert client.calls(caller.call_sid).fetch().status == "in-progress"
    assert not caller.closed.is_set()


def test_an_error_object_has_code_message_more_info_and_status(server):
    answer = raw(server, "GET", f"Calls/{call_sid()}.json")
    error = answer.json()
    assert (answer.status_code, error["status"], error["code"]) == (404, 404, 20404)
    assert "20404" in error["more_info"] and error["message"]


def test_wrong_credentials_are_401_20003(server, live_call):
    caller = live_call()
    for sid, token in ((ACCOUNT, "wrong"), ("AC" + "0" * 32, TOKEN)):
        stranger = Client(sid, token, account_sid=ACCOUNT)
        stranger.api.base_url = server.base
        error = refusal(stranger.calls(caller.call_sid).fetch)
        assert (error.status, error.code) == (401, 20003)
    answer = raw(server, "GET", "Calls.json", auth=None)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_an_account_of_another_name_is_not_served(server):
    client = Client(ACCOUNT, TOKEN, account_sid="AC" + "f" * 32)
    client.api.base_url = server.base
    assert refusal(client.calls(call_sid()).fetch).status in (401, 404)
