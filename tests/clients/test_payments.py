"""Agent-assisted payments, through client objects of which only the base URL was changed (pay.md, section 8)."""

import datetime
import inspect
import re
import uuid

import pytest
from support import ACCOUNT, TOKEN, VISA, call_sid
from test_calls import raw, refusal
from twilio.rest import Client
from twilio.rest.api.v2010.account.call.payment import PaymentContext, PaymentInstance, PaymentList
from twilio.twiml.voice_response import VoiceResponse

COVERED = set()
MINE = {"idempotency_key", "status_callback"}


class Agent:
    """An agent's screen: starts a session on a call, captures field by field, completes or cancels."""

    def __init__(self, client, case, caller, path="status"):
        self.payments = client.calls(caller.call_sid).payments
        self.case, self.caller, self.path = case, caller, path
        self.target = case.url(path)
        self.failed = False

    def start(self, **parameters):
        COVERED.update(f"create.{name}" for name in parameters)
        self.payment = self.payments.create(
            idempotency_key=str(uuid.uuid4()), status_callback=self.target, **parameters
        )
        return self

    def update(self, **parameters):
        COVERED.update(f"update.{name}={value}" for name, value in parameters.items())
        return self.payments(self.payment.sid).update(
            idempotency_key=str(uuid.uuid4()), status_callback=self.target, **parameters
        )

    def capture(self, field, keys):
        """Captures a field; its last callback, with the mask or the error."""
        before = len(self.case.requests.snapshot())
        self.update(capture=field)
        # What follows a failing key too fast belongs to it.
        self.caller.press(f",{keys}" if self.failed else keys)
        requests = self.case.requests.wait_until(
            lambda requests: any(self.is_end_of(request, field) for request in requests[before:]), f"the end of {field}"
        )
        told = next(request for request in requests[before:] if self.is_end_of(request, field))
        self.failed = told["ErrorType"] != ""
        return told

    def is_end_of(self, request, field):
        return request.path == self.path and request["Capture"] == field and (
            request["PartialResult"] == "false" and not self.is_beginning(request) or request["ErrorType"] != ""
        )

    @staticmethod
    def is_beginning(request):
        """A callback that says a capture has begun: nothing of the field is there yet."""
        return request["ErrorType"] == "" and FIELD[request["Capture"].removesuffix("-matcher")] not in request

    def finish(self, status="complete"):
        self.update(status=status)
        return self.last()

    def last(self):
        return self.case.wait(self.path, lambda request: "Result" in request)

    def statuses(self):
        return [request for request in self.case.requests.snapshot() if request.path == self.path]


FIELD = {
    "payment-card-number": "PaymentCardNumber",
    "expiration-date": "ExpirationDate",
    "security-code": "SecurityCode",
    "postal-code": "PaymentCardPostalCode",
    "bank-routing-number": "BankRoutingNumber",
    "bank-account-number": "BankAccountNumber",
}

CARD = [
    ("payment-card-number", VISA, "xxxxxxxxxxxx4242"),
    ("expiration-date", "1228", "1228"),
    ("postal-code", "94111", "94111"),
    ("security-code", "123", "xxx"),
]
BANK = [
    ("bank-routing-number", "110000000", "110000000"),
    ("bank-account-number", "000123456789#", "**********89"),
]


@pytest.fixture
def agent(client, case, live_call):
    return Agent(client, case, live_call())


def captured(agent, fields):
    for field, keys, mask in fields:
        told = agent.capture(field, keys)
        assert (told[FIELD[field]], told["PartialResult"], told["ErrorType"]) == (mask, "false", "")
    return agent


def missing(request):
    return set(filter(None, re.split(r"[,\s]+", request["Required"])))


def check_sequence(case):
    """SequenceNumber counts every statusCallback of a session from 0, without a gap."""
    sessions = {}
    for request in case.requests.snapshot():
        if "SequenceNumber" in request or request.path == "status":
            sessions.setdefault(request["Sid"], []).append(request["SequenceNumber"])
    for sid, numbers in sessions.items():
        assert numbers == [str(number) for number in range(len(numbers))], sid


# Whole payments


def test_a_session_is_created_201_and_has_Twilio_s_properties(agent, server):
    agent.start()
    payment = agent.payment
    assert re.fullmatch("PK[0-9a-f]{32}", payment.sid)
    assert (payment.account_sid, payment.call_sid) == (ACCOUNT, agent.caller.call_sid)
    assert isinstance(payment.date_created, datetime.datetime)
    assert isinstance(payment.date_updated, datetime.datetime)
    assert payment.uri == f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{payment.call_sid}/Payments/{payment.sid}.json"
    updated = agent.update(capture="payment-card-number")
    assert (updated.sid, updated.date_created) == (payment.sid, payment.date_created)
    agent.finish("cancel")
    form = {"IdempotencyKey": "raw", "StatusCallback": agent.target}
    answer = raw(server, "POST", f"Calls/{payment.call_sid}/Payments.json", data=form)
    assert answer.status_code == 201
    assert set(answer.json()) >= {"account_sid", "call_sid", "date_created", "date_updated", "sid", "uri"}
    path = f"Calls/{payment.call_sid}/Payments/{answer.json()['sid']}.json"
    answer = raw(server, "POST", path, data={**form, "Status": "cancel"})
    assert answer.status_code == 200


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 1, 0, 3), (1, 0, 3, 2)])
def test_a_card_payment_in_any_order_succeeds(agent, case, order):
    agent.start(charge_amount=20.45, currency="usd", payment_method="credit-card")
    captured(agent, [CARD[index] for index in order])
    last = agent.finish()
    assert last["Result"] == "success"
    assert last["PaymentConfirmationCode"].startswith("ch_")
    for name, value in {
        "AccountSid": ACCOUNT, "CallSid": agent.caller.call_sid, "Sid": agent.payment.sid, "For": "payment-processing",
        "PaymentMethod": "credit-card", "PaymentConnector": "Default", "PaymentCardNumber": "xxxxxxxxxxxx4242",
        "PaymentCardType": "visa", "ExpirationDate": "1228", "SecurityCode": "xxx", "PaymentCardPostalCode": "94111",
        "ChargeAmount": "20.45",
    }.items():  # fmt: skip
        assert last[name] == value, name
    for status in agent.statuses():
        assert status["Sid"] == agent.payment.sid
        assert status["DateCreated"] and status["DateUpdated"]
        assert VISA not in status.body
    check_sequence(case)


@pytest.mark.parametrize("tokenType", ["one-time", "reusable", "payment-method"])
def test_without_ChargeAmount_a_TokenType_token_is_made(agent, case, tokenType):
    captured(agent.start(token_type=tokenType), CARD)
    last = agent.finish()
    assert last["Result"] == "success"
    assert last["PaymentToken"].startswith("tok_")
    assert last["TokenType"] == tokenType
    assert ("ProfileId" in last) == (tokenType == "reusable")
    check_sequence(case)


@pytest.mark.parametrize("bankAccountType", ["consumer-checking", "consumer-savings", "commercial-checking"])
def test_an_ach_debit_payment_succeeds_with_its_BankAccountType(agent, case, bankAccountType):
    agent.start(payment_method="ach-debit", bank_account_type=bankAccountType, charge_amount=300)
    captured(agent, BANK)
    last = agent.finish()
    assert (last["Result"], last["PaymentMethod"], last["BankAccountType"]) == ("success", "ach-debit", bankAccountType)
    assert (last["BankRoutingNumber"], last["BankAccountNumber"]) == ("110000000", "**********89")
    check_sequence(case)


# Parameters of create


@pytest.mark.parametrize("postalCode, securityCode", [(False, True), (True, False), (False, False)])
def test_PostalCode_and_SecurityCode_false_are_not_required(agent, postalCode, securityCode):
    agent.start(postal_code=postalCode, security_code=securityCode)
    fields = [field for field in CARD if field[0] != "postal-code" or postalCode]
    captured(agent, [field for field in fields if field[0] != "security-code" or securityCode])
    last = agent.finish()
    assert last["Result"] == "success"
    assert ("PaymentCardPostalCode" in last, "SecurityCode" in last) == (postalCode, securityCode)


def test_Description_Parameter_Currency_and_PaymentConnector_reach_the_gateway(agent, application):
    before = len(application.gateway.snapshot())
    agent.start(
        payment_connector="Gateway", charge_amount=12.5, currency="eur", description="Order 7", input="dtmf",
        parameter={"order": "7", "customer": "Müller"},
    )  # fmt: skip
    captured(agent, [CARD[0], CARD[1], ("postal-code", "94111#", "94111"), CARD[3]])
    last = agent.finish()
    assert (last["Result"], last["PaymentConnector"], last["PaymentConfirmationCode"]) == ("success", "Gateway", "ch_77")
    asked = application.gateway.snapshot()[before]
    assert (float(asked["amount"]), asked["currency_code"], asked["description"]) == (12.5, "EUR", "Order 7")
    assert asked["parameters"] == {"order": "7", "customer": "Müller"}
    assert asked["transaction_id"] == agent.payment.sid


def test_MinPostalCodeLength_refuses_a_shorter_one(agent):
    agent.start(min_postal_code_length=6)
    assert agent.capture("postal-code", "94111#")["ErrorType"] == "invalid-postal-code"
    assert agent.capture("postal-code", "941110#")["PaymentCardPostalCode"] == "941110"


def test_ValidCardTypes_refuses_other_brands(agent):
    agent.start(valid_card_types="mastercard amex")
    assert agent.capture("payment-card-number", VISA)["ErrorType"] == "invalid-card-type"
    told = agent.capture("payment-card-number", "5555555555554444")
    assert (told["PaymentCardType"], told["ErrorType"]) == ("mastercard", "")


def test_Timeout_ends_a_capture_in_which_nothing_is_keyed_with_input_timeout(agent):
    agent.start(timeout=1)
    assert agent.capture("payment-card-number", "")["ErrorType"] == "input-timeout"
    captured(agent, CARD)
    assert agent.finish()["Result"] == "success"


def test_Confirmation_reads_back_after_complete_and_1_pays(agent):
    agent.start(confirmation="true", charge_amount=5)
    captured(agent, CARD)
    assert agent.caller.sounds() == ["hold"] and len(agent.caller.turns.snapshot()) == 1, "nothing was spoken until now"
    agent.update(status="complete")
    agent.caller.hear()
    agent.caller.press("1")
    assert agent.last()["Result"] == "success"


def test_Confirmation_answered_with_2_is_transaction_cancelled(agent):
    captured(agent.start(confirmation="true"), CARD)
    agent.update(status="complete")
    agent.caller.hear()
    agent.caller.press("2")
    assert agent.last()["Result"] == "transaction-cancelled"


@pytest.mark.parametrize(
    "field", ["payment-card-number", "expiration-date", "security-code", "postal-code"]
)
def test_RequireMatchingInputs_wants_the_matcher_too(agent, case, field):
    agent.start(require_matching_inputs=field, charge_amount=5)
    captured(agent, CARD)
    error = refusal(lambda: agent.update(status="complete"))
    assert error.code == 64019, "the second entry is missing"
    _, keys, mask = next(entry for entry in CARD if entry[0] == field)
    other = {"payment-card-number": "4111111111111111", "expiration-date": "1128", "security-code": "124",
             "postal-code": "94112"}[field]  # fmt: skip
    assert agent.capture(f"{field}-matcher", other)["ErrorType"] == "input-matching-failed"
    told = agent.capture(field, keys)
    assert told["ErrorType"] == ""
    told = agent.capture(f"{field}-matcher", keys)
    assert (told["ErrorType"], told[FIELD[field]]) == ("", mask)
    assert agent.finish()["Result"] == "success"
    check_sequence(case)


def test_RequireMatchingInputs_is_a_comma_list(agent):
    agent.start(require_matching_inputs="payment-card-number,expiration-date")
    told = captured(agent, CARD[:1]).statuses()[-1]
    assert {"PaymentCardNumberMatcher", "ExpirationDateMatcher"} <= missing(told), told


# What the agent sees


def test_every_digit_is_a_PartialResult_that_hides_all_of_them(agent, case):
    agent.start()
    for field, keys, mask in CARD[:1] + CARD[3:]:
        told = agent.capture(field, keys)
        partial = [
            status[FIELD[field]] for status in agent.statuses()
            if status["Capture"] == field and status["PartialResult"] == "true" and status[FIELD[field]]
        ]  # fmt: skip
        assert partial == ["x" * count for count in range(1, len(keys) + 1)] or partial == [
            "x" * count for count in range(1, len(keys))
        ], "one a digit, the last four hidden too"
        assert told[FIELD[field]] == mask
    check_sequence(case)


def test_partial_account_numbers_are_stars(agent):
    agent.start(payment_method="ach-debit")
    agent.capture("bank-account-number", "12345678#")
    partial = [status["BankAccountNumber"] for status in agent.statuses() if status["PartialResult"] == "true"]
    assert [mask for mask in partial if mask] == ["*" * count for count in range(1, 9)]


def test_Required_lists_what_is_still_missing(agent):
    agent.start()
    told = agent.capture("payment-card-number", VISA)
    assert {"ExpirationDate", "SecurityCode"} <= missing(told)
    assert "PaymentCardNumber" not in missing(told)
    assert any(name.endswith("PostalCode") for name in missing(told))
    captured(agent, CARD[1:])
    assert missing(agent.statuses()[-1]) == set()


def test_Required_lists_a_bank_account_s_numbers(agent):
    agent.start(payment_method="ach-debit")
    told = agent.capture("bank-routing-number", "110000000")
    assert missing(told) == {"BankAccountNumber"}


# Capture


def test_a_field_can_be_captured_again(agent):
    captured(agent.start(), CARD)
    told = agent.capture("payment-card-number", "5555555555554444")
    assert (told["PaymentCardNumber"], told["PaymentCardType"]) == ("xxxxxxxxxxxx4444", "mastercard")
    last = agent.finish()
    assert (last["Result"], last["PaymentCardNumber"]) == ("success", "xxxxxxxxxxxx4444")


@pytest.mark.parametrize(
    "parameters, field, keys, ErrorType",
    [
        ({}, "payment-card-number", "4242424242424241#", "invalid-card-number"),
        ({}, "payment-card-number", "6011111111111117", "invalid-card-type"),
        ({}, "payment-card-number", "#", "input-timeout"),
        ({}, "expiration-date", "1328", "invalid-date"),
        ({"min_postal_code_length": 5}, "postal-code", "1#", "invalid-postal-code"),
        ({"payment_method": "ach-debit"}, "bank-routing-number", "123456789", "invalid-bank-routing-number"),
        ({"payment_method": "ach-debit"}, "bank-account-number", "123#", "invalid-bank-account-number"),
    ],
)
def test_a_bad_entry_is_told_with_its_ErrorType_and_can_be_captured_again(agent, parameters, field, keys, ErrorType):
    agent.start(**parameters)
    told = agent.capture(field, keys)
    assert (told["ErrorType"], told["For"]) == (ErrorType, field)
    _, keys, mask = next(entry for entry in CARD + BANK if entry[0] == field)
    assert agent.capture(field, keys)[FIELD[field]] == mask


def test_a_bad_security_code_is_invalid_security_code(agent):
    captured(agent.start(), CARD[:1])
    assert agent.capture("security-code", "12#")["ErrorType"] == "invalid-security-code"


def test_the_security_code_before_the_card_number_is_a_wrong_capture_sequence(agent):
    agent.start()
    error = refusal(lambda: agent.update(capture="security-code"))
    assert (error.status, error.code) == (409, 64021)
    told = agent.case.wait(agent.path, lambda request: request["ErrorType"])
    assert told["ErrorType"] == "invalid-card-number-security-code-capture-sequence"


def test_a_star_restarts_the_field(agent):
    agent.start()
    told = agent.capture("payment-card-number", "4111*" + VISA)
    assert told["PaymentCardNumber"] == "xxxxxxxxxxxx4242"


def test_keys_with_no_capture_active_are_dropped(agent):
    agent.start()
    agent.caller.press("99,")
    captured(agent, CARD[:1])
    agent.caller.press("99,")
    captured(agent, CARD[1:])
    assert agent.finish()["Result"] == "success"


# Ends


@pytest.mark.parametrize("before", [0, 2])
def test_Status_cancel_is_transaction_cancelled_and_final(agent, case, before):
    captured(agent.start(), CARD[:before])
    assert agent.finish("cancel")["Result"] == "transaction-cancelled"
    for parameters in ({"capture": "payment-card-number"}, {"status": "complete"}, {"status": "cancel"}):
        error = refusal(lambda: agent.update(**parameters))
        assert (error.status, error.code) == (409, 64021)
    check_sequence(case)


def test_a_finished_session_takes_no_further_update_64021(agent):
    captured(agent.start(), CARD)
    assert agent.finish()["Result"] == "success"
    error = refusal(lambda: agent.update(capture="postal-code"))
    assert (error.status, error.code) == (409, 64021)


def test_after_the_end_of_one_session_there_can_be_another(agent, client, case):
    agent.start()
    agent.finish("cancel")
    second = Agent(client, case, agent.caller, path="second")
    captured(second.start(), CARD)
    assert second.finish()["Result"] == "success"


@pytest.mark.parametrize("before", [0, 1, 4])
def test_a_hang_up_ends_the_session_with_caller_hung_up(agent, case, before):
    captured(agent.start(), CARD[:before])
    agent.caller.hang_up()
    last = agent.last()
    assert (last["Result"], last["Sid"]) == ("caller-hung-up", agent.payment.sid)
    check_sequence(case)


def test_a_declined_card_is_payment_connector_error_64012(agent):
    agent.start(charge_amount=5)
    captured(agent, [("payment-card-number", "4000000000000002", "xxxxxxxxxxxx0002"), *CARD[1:]])
    last = agent.finish()
    assert (last["Result"], last["PayErrorCode"], last["ConnectorError"]) == (
        "payment-connector-error", "64012", "card_declined",
    )  # fmt: skip


def test_test_mode_takes_test_numbers_only_64022(agent):
    captured(agent.start(payment_connector="GatewayTest"), CARD)
    last = agent.finish()
    assert (last["Result"], last["PayErrorCode"]) == ("payment-connector-error", "64022")


# Refusals


def test_an_update_without_Capture_and_Status_is_64018(agent):
    agent.start()
    error = refusal(agent.update)
    assert (error.status, error.code) == (400, 64018)


@pytest.mark.parametrize("fields", [[], CARD[:3], CARD[1:3]])
def test_complete_with_fields_missing_is_64019(agent, fields):
    captured(agent.start(), fields)
    error = refusal(lambda: agent.update(status="complete"))
    assert (error.status, error.code) == (400, 64019)
    captured(agent, CARD)
    assert agent.finish()["Result"] == "success", "the session goes on"


@pytest.mark.parametrize(
    "parameters, code",
    [
        ({"timeout": 0}, 64020), ({"timeout": 601}, 64020), ({"currency": "dollars"}, 64020),
        ({"token_type": "gold"}, 64020), ({"payment_method": "cash"}, 64020), ({"input": "speech"}, 64020),
        ({"valid_card_types": "visa gold"}, 64020), ({"min_postal_code_length": 11}, 64020),
        ({"require_matching_inputs": "shoe-size"}, 64020), ({"parameter": "nonsense"}, 64020),
        ({"parameter": {"a": {"b": 1}}}, 64020), ({"confirmation": "perhaps"}, 64020),
        ({"charge_amount": -1}, 64003), ({"charge_amount": 1.001}, 64003),
        ({"bank_account_type": "consumer-savings"}, 64017), ({"payment_connector": "Nobody"}, 64004),
    ],
)  # fmt: skip
def test_create_with_a_bad_value_is_400_and_names_it(agent, parameters, code):
    error = refusal(lambda: agent.start(**parameters))
    assert (error.status, error.code) == (400, code)
    agent.start()


@pytest.mark.parametrize("parameters", [{"capture": "shoe-size"}, {"status": "golden"}])
def test_update_with_a_bad_value_is_64020(agent, parameters):
    agent.start()
    error = refusal(lambda: agent.payments(agent.payment.sid).update(str(uuid.uuid4()), agent.target, **parameters))
    assert (error.status, error.code) == (400, 64020)


@pytest.mark.parametrize(
    "parameters",
    [{"capture": "bank-account-number"}, {"capture": "payment-card-number-matcher"}],
)
def test_capture_of_a_field_the_session_does_not_have_is_refused(agent, parameters):
    agent.start()
    error = refusal(lambda: agent.payments(agent.payment.sid).update(str(uuid.uuid4()), agent.target, **parameters))
    assert error.code in (64020, 64021)


@pytest.mark.parametrize("absent", ["IdempotencyKey", "StatusCallback"])
def test_IdempotencyKey_and_StatusCallback_are_required(agent, server, absent):
    form = {"IdempotencyKey": str(uuid.uuid4()), "StatusCallback": agent.target}
    del form[absent]
    answer = raw(server, "POST", f"Calls/{agent.caller.call_sid}/Payments.json", data=form)
    assert answer.status_code == 400
    assert absent in answer.json()["message"]


def test_a_call_or_payment_that_does_not_exist_is_20404(agent, client):
    form = {"idempotency_key": "1", "status_callback": agent.target}
    agent.start()
    for action in (
        lambda: client.calls(call_sid()).payments.create(**form),
        lambda: agent.payments("PK" + "0" * 32).update(**form, status="cancel"),
        lambda: client.calls(call_sid()).payments(agent.payment.sid).update(**form, status="cancel"),
    ):
        error = refusal(action)
        assert (error.status, error.code) == (404, 20404)


def test_wrong_credentials_are_401_20003(agent, server):
    stranger = Client(ACCOUNT, "wrong")
    stranger.api.base_url = server.base
    error = refusal(lambda: Agent(stranger, agent.case, agent.caller).start())
    assert (error.status, error.code) == (401, 20003)
    assert refusal(lambda: stranger.calls(agent.caller.call_sid).payments("PK" + "0" * 32).update("1", "http://x")).code == 20003
    assert TOKEN


# Idempotency


def test_the_same_IdempotencyKey_with_the_same_body_gives_the_first_answer_again(agent):
    form = {"idempotency_key": "once", "status_callback": agent.target, "charge_amount": 5}
    first = agent.payments.create(**form)
    again = agent.payments.create(**form)
    assert (again.sid, again.date_created) == (first.sid, first.date_created), "no second session, no 64021"
    update = {"idempotency_key": "twice", "status_callback": agent.target, "capture": "payment-card-number"}
    one = agent.payments(first.sid).update(**update)
    other = agent.payments(first.sid).update(**update)
    assert (one.sid, one.date_updated) == (other.sid, other.date_updated)


def test_the_same_IdempotencyKey_with_another_body_is_409(agent):
    first = agent.payments.create("once", agent.target, charge_amount=5)
    assert refusal(lambda: agent.payments.create("once", agent.target, charge_amount=6)).status == 409
    agent.payments(first.sid).update("twice", agent.target, capture="payment-card-number")
    error = refusal(lambda: agent.payments(first.sid).update("twice", agent.target, capture="postal-code"))
    assert error.status == 409


def test_the_same_IdempotencyKey_on_another_call_is_another_payment(client, case, live_call):
    one, other = live_call(), live_call()
    sids = {client.calls(caller.call_sid).payments.create("once", case.url("status")).sid for caller in (one, other)}
    assert len(sids) == 2


# One session a call


def test_a_second_session_on_a_call_is_409_64021_and_told_as_session_in_progress(agent, client, case):
    agent.start()
    second = Agent(client, case, agent.caller, path="second")
    error = refusal(second.start)
    assert (error.status, error.code) == (409, 64021)
    told = case.wait("second")
    assert (told["ErrorType"], told["CallSid"]) == ("session-in-progress", agent.caller.call_sid)
    captured(agent, CARD)
    assert agent.finish()["Result"] == "success", "the first goes on undisturbed"


def test_a_session_on_a_call_whose_document_runs_a_Pay_is_session_in_progress(run, client, case):
    document = VoiceResponse()
    document.pay(action=case.url("paid"), status_callback=case.url("verb"))
    caller = run(document)
    caller.hear()
    error = refusal(Agent(client, case, caller, path="status").start)
    assert (error.status, error.code) == (409, 64021)
    assert case.wait("status")["ErrorType"] == "session-in-progress"
    caller.press(VISA)
    caller.pay(["1228", "94111", "123"])
    assert case.action()["Result"] == "success"


def test_a_Pay_on_a_call_with_a_session_is_session_in_progress(agent, client, case):
    agent.start()
    document = VoiceResponse()
    document.pay(action=case.url("paid"), status_callback=case.url("verb"))
    client.calls(agent.caller.call_sid).update(twiml=document)
    assert case.wait("verb", lambda request: request["ErrorType"])["ErrorType"] == "session-in-progress"


# Touchtone's own: what became of a payment


def test_GET_of_a_payment_and_of_a_call_s_payments_shows_masks_only(agent, server):
    captured(agent.start(charge_amount=5), CARD)
    base = f"Calls/{agent.caller.call_sid}/Payments"
    one = raw(server, "GET", f"{base}/{agent.payment.sid}.json")
    assert one.status_code == 200
    assert (one.json()["sid"], one.json()["call_sid"]) == (agent.payment.sid, agent.caller.call_sid)
    assert "4242" in one.text and VISA not in one.text
    listed = raw(server, "GET", f"{base}.json")
    assert listed.status_code == 200
    assert [payment["sid"] for payment in listed.json()["payments"]] == [agent.payment.sid]
    agent.finish()
    assert "success" in raw(server, "GET", f"{base}/{agent.payment.sid}.json").text
    unknown = raw(server, "GET", f"{base}/PK{'0' * 32}.json")
    assert (unknown.status_code, unknown.json()["code"]) == (404, 20404)
    assert raw(server, "GET", f"{base}.json", auth=(ACCOUNT, "wrong")).status_code == 401


# The library's own list of names


def test_every_parameter_and_word_the_library_knows_was_used_above():
    create = set(inspect.signature(PaymentList.create).parameters) - {"self"} - MINE
    assert {f"create.{name}" for name in create} <= COVERED, create
    assert set(inspect.signature(PaymentContext.update).parameters) == {"self", "capture", "status"} | MINE
    words = {f"update.capture={word}" for name, word in vars(PaymentInstance.Capture).items() if name.isupper()}
    words |= {f"update.status={word}" for name, word in vars(PaymentInstance.Status).items() if name.isupper()}
    assert words <= COVERED, words - COVERED
    types = {word for name, word in vars(PaymentInstance.BankAccountType).items() if name.isupper()}
    assert types == {"consumer-checking", "consumer-savings", "commercial-checking"}
    assert {word for name, word in vars(PaymentInstance.TokenType).items() if name.isupper()} == {
        "one-time", "reusable", "payment-method",
    }  # fmt: skip
    assert {word for name, word in vars(PaymentInstance.PaymentMethod).items() if name.isupper()} == {
        "credit-card", "ach-debit",
    }  # fmt: skip
