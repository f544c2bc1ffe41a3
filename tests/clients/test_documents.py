"""Documents that Twilio's library generates: what each attribute and noun of Pay promises, heard and told.

The attribute `charge_amount` of the library is chargeAmount in the document, and so on; test names and tables spell both.
"""

import inspect
import json

import pytest
from support import BANK, CARD, VISA, Case, keys_in
from twilio.twiml.voice_response import Pay, Prompt, VoiceResponse

COVERED = set()


def covers(*names):
    """Says which of the library's names a test covers, as `Pay.charge_amount`."""
    COVERED.update(names)
    return lambda test: test


def pay_with(case, **attributes):
    """A document with one Pay, and the Pay. Its requests go to the paths `paid` and `status`."""
    document = VoiceResponse()
    attributes = {"action": case.url("paid"), "status_callback": case.url("status"), **attributes}
    return document, document.pay(**{name: value for name, value in attributes.items() if value is not None})


def pay(case, **attributes):
    return pay_with(case, **attributes)[0]


def told(requests, name):
    """What a field said, in order, where it was there."""
    return [request[name] for request in requests if name in request]


# Where the document comes from


@pytest.mark.parametrize("route", ["flow", "Redirect", "action", "url parameter"])
def test_a_generated_document_runs_wherever_it_comes_from(case, call, server, route):
    document = pay(case, charge_amount="20.45")
    case.documents["document"] = document
    match route:
        case "flow":
            server.write_flow(case.name, document)
            caller = call(f"/{case.name}")
        case "Redirect":
            caller = call("/entry", document=case.url("document"))
        case "action":
            first = VoiceResponse()
            first.gather(action=case.url("document"), num_digits=1)
            server.write_flow(case.name, first)
            caller = call(f"/{case.name}")
            caller.press("1")
        case "url parameter":
            caller = call("", url=case.url("document"))
    caller.pay(CARD)
    paid = case.action()
    assert paid["Result"] == "success"
    assert paid["PaymentConfirmationCode"].startswith("ch_")
    assert case.steps() == [
        "payment-card-number", "expiration-date", "postal-code", "security-code", "payment-processing",
    ]  # fmt: skip
    if route in ("Redirect", "action", "url parameter"):
        assert case.wait("document")["CallSid"] == caller.call_sid


# Attributes of Pay


def test_every_field_of_a_card_payment_is_told_to_action_and_statusCallback(case, run):
    caller = run(
        pay(case, charge_amount="20.45"),
        From="+15551230001", To="+15551230002", ForwardedFrom="+15551230003", CallerName="Ada",
    )  # fmt: skip
    caller.pay(CARD)
    paid, last = case.action(), case.last_status()
    for name, value in {
        "AccountSid": "AC0123456789abcdef0123456789abcdef",
        "CallSid": caller.call_sid,
        "From": "+15551230001",
        "To": "+15551230002",
        "ForwardedFrom": "+15551230003",
        "CallerName": "Ada",
        "CallStatus": "in-progress",
        "Result": "success",
        "PaymentMethod": "credit-card",
        "PaymentConnector": "Default",
        "PaymentCardNumber": "xxxx-xxxx-xxxx-4242",
        "PaymentCardType": "visa",
        "ExpirationDate": "1228",
        "SecurityCode": "xxx",
        "PaymentCardPostalCode": "94111",
    }.items():
        assert paid[name] == value, name
    assert paid["ApiVersion"] == "2010-04-01"
    assert paid["Direction"] == "inbound"
    for absent in ("PaymentToken", "ProfileId", "PaymentError", "PayErrorCode", "ConnectorError", "BankAccountNumber"):
        assert absent not in paid, absent
    assert last["For"] == "payment-processing"
    assert last["PaymentCardNumber"] == "xxxxxxxxxxxx4242", "statusCallback has no hyphens"
    assert last["PaymentConfirmationCode"] == paid["PaymentConfirmationCode"]
    assert all(status["CallSid"] == caller.call_sid for status in case.statuses())
    assert told(case.statuses(), "Attempt")[0] == "1"
    numbers = told(case.statuses(), "SequenceNumber")
    assert numbers == [str(number) for number in range(len(case.statuses()))], "from 0, without a gap"
    everything = " ".join(str(request.form) for request in case.requests.snapshot())
    assert VISA not in everything and "'123'" not in everything, "nothing keyed is told"


@covers("Pay.action")
@pytest.mark.parametrize("action", ["absolute", "relative", "absent"])
def test_action_is_an_absolute_or_relative_URL_or_the_document_s_own(case, run, action):
    chosen = {"absolute": case.url("paid"), "relative": "paid", "absent": None}[action]
    document = pay(case, action=chosen)
    case.documents["document"] = lambda request: "<Response/>" if "Result" in request else document
    caller = run(case.documents["document"])
    caller.pay(CARD)
    request = case.wait("document" if action == "absent" else "paid", lambda request: "Result" in request)
    assert (request.method, request["Result"]) == ("POST", "success")


def test_the_answer_to_action_is_the_next_document(case, run):
    thanks = VoiceResponse()
    thanks.play(case.sound("thanks"))
    case.documents["paid"] = thanks
    caller = run(pay(case))
    caller.pay(CARD)
    assert caller.sounds()[-1] == "thanks"


def test_an_action_that_is_no_URL_is_a_validation_error_64016(case, run):
    run(pay(case, action="mailto:nobody@example.com")).hear_out()
    last = case.last_status()
    assert (last["Result"], last["PayErrorCode"]) == ("validation-error", "64016")


@covers("Pay.status_callback", "Pay.status_callback_method")
@pytest.mark.parametrize("statusCallback", ["absolute", "relative"])
@pytest.mark.parametrize("statusCallbackMethod", ["POST", "GET", None])
def test_statusCallback_is_told_by_statusCallbackMethod(case, run, statusCallback, statusCallbackMethod):
    target = case.url("status") if statusCallback == "absolute" else "status"
    run(pay(case, status_callback=target, status_callback_method=statusCallbackMethod)).pay(CARD)
    statuses = case.statuses()
    assert {status.method for status in statuses} == {statusCallbackMethod or "POST"}
    assert statuses[-1]["Result"] == "success"


def test_a_statusCallback_with_a_query_keeps_it_and_is_signed_with_it(case, run):
    for method in ("GET", "POST"):
        run(pay(case, status_callback=case.url("status?order=7&b=%20x"), status_callback_method=method)).pay(CARD)
    statuses = case.requests.wait_until(
        lambda requests: sum(request.path == "status" and "Result" in request for request in requests) == 2, "both"
    )
    statuses = [status for status in statuses if status.path == "status"]
    assert {status.method for status in statuses} == {"GET", "POST"}
    assert all("order=7&b=%20x" in status.url for status in statuses)


def test_method_GET_asks_action_by_GET(case, run):
    run(pay(case, method="GET")).pay(CARD)
    assert case.action().method == "GET"


@covers("Pay.input")
def test_input_is_dtmf_and_nothing_else(case, run):
    run(pay(case, input="dtmf")).pay(CARD)
    assert case.action()["Result"] == "success"


@pytest.mark.parametrize(
    "attributes, code",
    [
        ({"input": "speech"}, "64020"),
        ({"method": "PUT"}, "64020"),
        ({"status_callback_method": "PUT"}, "64020"),
        ({"payment_method": "cash"}, "64020"),
        ({"payment_method": "ach-debit", "bank_account_type": "gold"}, "64020"),
        ({"bank_account_type": "consumer-checking"}, "64017"),
        ({"payment_method": "credit-card", "bank_account_type": "consumer-savings"}, "64017"),
        ({"timeout": 0}, "64020"),
        ({"timeout": 601}, "64020"),
        ({"inter_digit_timeout": "soon"}, "64020"),
        ({"max_attempts": 0}, "64020"),
        ({"max_attempts": 4}, "64020"),
        ({"security_code": "maybe"}, "64020"),
        ({"postal_code": "12345678901"}, "64020"),
        ({"min_postal_code_length": 11}, "64020"),
        ({"token_type": "gold"}, "64020"),
        ({"charge_amount": "-1"}, "64003"),
        ({"charge_amount": "$5"}, "64003"),
        ({"charge_amount": "1e3"}, "64003"),
        ({"charge_amount": "1000000.01"}, "64003"),
        ({"charge_amount": "1.001"}, "64003"),
        ({"charge_amount": "1.5", "currency": "jpy"}, "64003"),
        ({"currency": "dollars"}, "64020"),
        ({"language": "tlh"}, "64020"),
        ({"valid_card_types": "visa gold"}, "64020"),
        ({"confirmation": "perhaps"}, "64020"),
        ({"parameters": "{"}, "64020"),
    ],
)
def test_a_value_that_is_not_allowed_is_a_validation_error(case, run, attributes, code):
    caller = run(pay(case, **attributes))
    caller.hear_out()
    assert caller.turns.snapshot() == [None], "nothing is said"
    paid = case.action()
    assert (paid["Result"], paid["PayErrorCode"]) == ("validation-error", code)
    first_lower = "".join(word.title() for word in next(reversed(attributes)).split("_"))
    attribute = first_lower[0].lower() + first_lower[1:]
    if "currency" not in attributes or len(attributes) == 1:
        assert attribute in paid["PaymentError"]


@covers("Pay.payment_method", "Pay.bank_account_type")
@pytest.mark.parametrize("bankAccountType", ["consumer-checking", "consumer-savings", "commercial-checking", None])
def test_paymentMethod_ach_debit_takes_a_bank_account_of_bankAccountType(case, run, bankAccountType):
    document = pay(case, payment_method="ach-debit", bank_account_type=bankAccountType, charge_amount="300")
    run(document).pay(BANK)
    paid = case.action()
    assert (paid["Result"], paid["PaymentMethod"]) == ("success", "ach-debit")
    assert paid["BankAccountType"] == bankAccountType or paid["BankAccountType"] == "consumer-checking"
    assert paid["BankRoutingNumber"] == "110000000"
    assert paid["BankAccountNumber"] == "**********89"
    assert case.steps() == ["bank-routing-number", "bank-account-number", "payment-processing"]


def test_paymentMethod_credit_card_is_the_default_and_can_be_said(case, run):
    run(pay(case, payment_method="credit-card")).pay(CARD)
    assert case.action()["PaymentMethod"] == "credit-card"


@covers("Pay.timeout")
def test_timeout_is_how_long_the_first_digit_is_waited_for(case, call, application):
    patient, hasty = Case(application), Case(application)
    for one, timeout in ((patient, 4), (hasty, 1)):
        one.documents["document"] = pay(one, timeout=timeout, max_attempts=1)
        call("/entry", document=one.url("document")).hear()
    hasty_end = hasty.action()
    assert hasty_end["Result"] == "too-many-failed-attempts"
    assert "Result" not in " ".join(str(request.form) for request in patient.requests.snapshot()), "twice 4 s are not over"
    assert [status["ErrorType"] for status in hasty.statuses() if "ErrorType" in status] >= ["input-timeout"] * 2
    hasty.check_requests()


def test_interDigitTimeout_is_how_long_the_next_digit_is_waited_for(case, run):
    caller = run(pay(case, timeout=600, inter_digit_timeout=1))
    caller.hear()
    caller.press("4242")
    failed = case.wait("status", lambda status: status["ErrorType"])
    assert (failed["For"], failed["ErrorType"]) == ("payment-card-number", "invalid-card-number")
    caller.hang_up()


@covers("Pay.max_attempts")
@pytest.mark.parametrize("maxAttempts", [1, 2, 3, None])
def test_maxAttempts_is_how_often_a_step_may_be_tried_again(case, run, maxAttempts):
    tries = (maxAttempts or 1) + 1
    run(pay(case, max_attempts=maxAttempts)).pay([",1#"] * tries)
    paid = case.action()
    assert paid["Result"] == "too-many-failed-attempts"
    statuses = case.statuses()
    assert sorted({int(attempt) for attempt in told(statuses, "Attempt")}) == list(range(1, tries + 1))
    assert "invalid-card-number" in told(statuses, "ErrorType")
    assert statuses[-1]["For"] == "payment-card-number"


@covers("Pay.security_code")
@pytest.mark.parametrize("securityCode", [True, False, None])
def test_securityCode_is_asked_for_unless_false(case, run, application, securityCode):
    before = len(application.gateway.snapshot())
    asked = securityCode is not False
    document = pay(case, security_code=securityCode, charge_amount="5", payment_connector="Gateway")
    run(document).pay(CARD if asked else CARD[:3])
    paid = case.action()
    assert paid["Result"] == "success"
    assert ("SecurityCode" in paid, "security-code" in case.steps()) == (asked, asked)
    assert application.gateway.snapshot()[before].get("cvv") == ("123" if asked else None)


@covers("Pay.postal_code")
@pytest.mark.parametrize("postalCode", [True, False, "10001", None])
def test_postalCode_is_asked_for_or_left_out_or_given(case, run, application, postalCode):
    before = len(application.gateway.snapshot())
    asked = postalCode in (True, None)
    document = pay(case, postal_code=postalCode, charge_amount="5", payment_connector="Gateway")
    run(document).pay(CARD if asked else [CARD[0], CARD[1], CARD[3]])
    paid = case.action()
    told_code = {True: "94111", None: "94111", False: None, "10001": "10001"}[postalCode]
    assert paid["Result"] == "success"
    assert ("postal-code" in case.steps()) == asked
    assert paid.form.get("PaymentCardPostalCode") == told_code
    assert application.gateway.snapshot()[before].get("postal_code") == told_code


@covers("Pay.min_postal_code_length")
def test_minPostalCodeLength_refuses_a_shorter_postal_code(case, run):
    run(pay(case, min_postal_code_length=6)).pay([CARD[0], CARD[1], "94111#", ",941110#", CARD[3]])
    assert case.action()["PaymentCardPostalCode"] == "941110"
    assert "invalid-postal-code" in told(case.statuses(), "ErrorType")


@covers("Pay.payment_connector")
def test_paymentConnector_names_the_connector(case, run, application):
    before = len(application.gateway.snapshot())
    run(pay(case, payment_connector="Gateway", charge_amount="5")).pay(CARD)
    paid = case.action()
    assert (paid["PaymentConnector"], paid["PaymentConfirmationCode"]) == ("Gateway", "ch_77")
    assert len(application.gateway.snapshot()) == before + 1


def test_a_paymentConnector_that_is_not_there_is_64004(case, run):
    run(pay(case, payment_connector="Nobody")).hear_out()
    paid = case.action()
    assert (paid["Result"], paid["PayErrorCode"]) == ("payment-connector-error", "64004")


@covers("Pay.token_type")
@pytest.mark.parametrize("tokenType", ["one-time", "reusable", "payment-method", None])
def test_tokenType_chooses_the_token(case, run, tokenType):
    run(pay(case, token_type=tokenType)).pay(CARD)
    paid = case.action()
    assert paid["PaymentToken"].startswith("tok_")
    assert "PaymentConfirmationCode" not in paid
    assert ("ProfileId" in paid) == (tokenType in ("reusable", None)), "the sandbox makes a profile for reusable tokens"


@covers("Pay.charge_amount", "Pay.currency")
@pytest.mark.parametrize(
    "chargeAmount, currency, sent",
    [("20.45", None, ("20.45", "USD")), ("20.45", "eur", ("20.45", "EUR")), ("500", "JPY", ("500", "JPY")),
     ("1000000", "usd", ("1000000.00", "USD")), ("0", "usd", None), (None, "usd", None)],
)  # fmt: skip
def test_chargeAmount_in_currency_charges_and_without_it_tokenizes(case, run, application, chargeAmount, currency, sent):
    before = len(application.gateway.snapshot())
    run(pay(case, charge_amount=chargeAmount, currency=currency, payment_connector="Gateway", postal_code=False)).pay([CARD[0], CARD[1], CARD[3]])
    paid, asked = case.action(), application.gateway.snapshot()[before]
    if sent:
        amount, code = sent
        assert (asked["method"], float(asked["amount"]), asked["currency_code"]) == ("charge", float(amount), code)
        assert paid["PaymentConfirmationCode"] == "ch_77"
    else:
        assert asked["method"] == "tokenize" and "amount" not in asked
        assert paid["PaymentToken"] == "tok_77"


@covers("Pay.description", "Parameter.name", "Parameter.value")
def test_description_and_Parameter_reach_the_gateway_and_its_parameters_come_back(case, run, application):
    before = len(application.gateway.snapshot())
    application.gateway_answers.append(
        (200, {"charge_id": "ch_1", "error_code": None, "parameters": {"auth": "A1", "avs": "Y"}})
    )
    document, verb = pay_with(case, charge_amount="5", description="Order 7: pizza & \"salad\"", payment_connector="Gateway")
    verb.parameter(name="order", value="7")
    verb.parameter(name="customer", value="Müller & Söhne")
    run(document).pay(CARD)
    asked = application.gateway.snapshot()[before]
    assert asked["description"] == "Order 7: pizza & \"salad\""
    assert asked["parameters"] == {"order": "7", "customer": "Müller & Söhne"}
    paid = case.action()
    assert (paid["PayConnector_auth"], paid["PayConnector_avs"]) == ("A1", "Y")


def test_parameters_as_JSON_are_overridden_by_a_Parameter_of_the_same_name(case, run, application):
    before = len(application.gateway.snapshot())
    document, verb = pay_with(case, charge_amount="5", payment_connector="Gateway", parameters='{"a":"1","b":"2"}')
    verb.parameter(name="b", value="3")
    run(document).pay(CARD)
    assert application.gateway.snapshot()[before]["parameters"] == {"a": "1", "b": "3"}


# Attributes of other vendors, which the library writes when asked


def test_transactionType_tokenize_wins_over_chargeAmount(case, run):
    run(pay(case, transaction_type="tokenize", charge_amount="5")).pay(CARD)
    assert case.action()["PaymentToken"].startswith("tok_")


def test_paymentToken_is_charged_without_a_question(case, run):
    caller = run(pay(case, payment_token="tok_of_an_earlier_call", charge_amount="5"))
    caller.hear_out()
    paid = case.action()
    assert (paid["Result"], paid["PaymentConfirmationCode"][:3]) == ("success", "ch_")
    assert case.steps() == ["payment-processing"]


def test_prompts_as_JSON_are_heard(case, run):
    prompts = [{"for": "payment-card-number", "actions": [{"type": "Play", "phrase": case.sound("from JSON")}]}]
    caller = run(pay(case, prompts=json.dumps(prompts), voice="Polly.Amy", metadata='{"shop":"7"}'))
    caller.pay(CARD)
    assert caller.sounds() == ["from JSON"]
    assert case.action()["Result"] == "success"


NUMBERS = {
    "visa": "4242424242424242",
    "mastercard": "5555555555554444",
    "amex": "378282246310005",
    "maestro": "6771798021000008",
    "discover": "6011111111111117",
    "optima": "378282246310005",
    "jcb": "3566002020360505",
    "diners-club": "3056930009020004",
    "enroute": "201400000000009",
    "unionpay": "6200000000000005",
}
GROUPED = {name: f"xxxx-xxxx-xxxx-{number[-4:]}" for name, number in NUMBERS.items()}
GROUPED |= {"amex": "xxxx-xxxxxx-x0005", "optima": "xxxx-xxxxxx-x0005", "enroute": "xxxx-xxxx-xxx0-009"}


@covers("Pay.valid_card_types")
@pytest.mark.parametrize("cardType", NUMBERS)
def test_validCardTypes_lets_that_brand_in_and_others_not(case, run, cardType):
    number = NUMBERS[cardType]
    other = NUMBERS["mastercard" if cardType == "visa" else "visa"]
    code = "1234" if number.startswith("37") else "123"
    run(pay(case, valid_card_types=cardType, postal_code=False)).pay([other, "," + number + "#", "1228", code])
    paid = case.action()
    assert (paid["Result"], paid["PaymentCardType"]) == ("success", cardType)
    assert paid["PaymentCardNumber"] == GROUPED[cardType]
    assert paid["SecurityCode"] == "x" * len(code)
    assert "invalid-card-type" in told(case.statuses(), "ErrorType")


def test_several_validCardTypes_are_separated_by_blanks_and_the_default_is_visa_mastercard_amex(case, run):
    for chosen, number in (("visa jcb", NUMBERS["jcb"]), (None, NUMBERS["amex"]), (None, NUMBERS["mastercard"])):
        code = "1234" if number.startswith("37") else "123"
        run(pay(case, valid_card_types=chosen)).pay([number, "1228", "94111", code])
    arrived = case.requests.wait_until(lambda requests: sum(r.path == "paid" for r in requests) == 3, "three results")
    assert {request["PaymentCardType"] for request in arrived if request.path == "paid"} == {"jcb", "amex", "mastercard"}


def test_confirmation_reads_back_and_1_goes_on(case, run):
    run(pay(case, confirmation=True)).pay([*CARD, "1"])
    assert case.action()["Result"] == "success"


def test_confirmation_answered_with_2_is_transaction_cancelled(case, run):
    run(pay(case, confirmation=True)).pay([*CARD, "2"])
    assert case.action()["Result"] == "transaction-cancelled"


# What only the ear can tell

LANGUAGES = ["en-AU", "en-CA", "en-GB", "en-IN", "en-US", "es-ES", "es-MX", "fr-CA", "fr-FR", "de-DE", "it-IT"]


def first_words(case, call, server, document):
    """The sound of the first turn."""
    case.documents["document"] = document
    caller = call("/entry", at=server, document=case.url("document"))
    sound = caller.hear().sound
    caller.hang_up()
    return sound


@covers("Pay.language")
def test_language_is_the_one_the_prompts_are_spoken_in(case, call, speaking_server):
    spoken = {
        language: first_words(case, call, speaking_server, pay(case, language=language))
        for language in [*LANGUAGES, "EN-us", None]
    }
    assert spoken["en-US"] == spoken["EN-us"] == spoken[None], "in any case, and the default"
    families = ["en-US", "en-GB", "es-ES", "fr-FR", "de-DE", "it-IT"]
    assert len({spoken[language] for language in families}) == len(families), "each has words and a voice of its own"
    assert all(len(sound) > 4000 for sound in spoken.values()), "all of them speak"


@covers("Prompt.say", "Say.message", "Say.language", "Say.voice", "Say.loop")
def test_Say_in_a_Prompt_speaks_its_words_in_its_language_and_as_often_as_loop(case, call, speaking_server):
    def said(message, **attributes):
        document, verb = pay_with(case)
        verb.prompt(for_="payment-card-number").say(message, **attributes)
        return first_words(case, call, speaking_server, document)

    one = said("Your card, please")
    assert one != said("Your number, please"), "other words"
    assert one != said("Your card, please", language="de-DE"), "another voice"
    assert one == said("Your card, please", voice="alice"), "a voice of another vendor's is no fault"
    twice = said("Your card, please", loop=2)
    assert len(twice) > 1.5 * len(one)


@covers("Play.digits")
def test_Play_digits_in_a_Prompt_are_tones(case, run):
    document, verb = pay_with(case)
    verb.prompt(for_="payment-card-number").play("", digits="1590")
    caller = run(document)
    assert keys_in(caller.hear().sound) == "1590"
    caller.hang_up()


@covers("Prompt.play", "Prompt.pause", "Play.url", "Play.loop", "Pause.length")
def test_Play_and_Pause_in_a_Prompt_are_heard_in_order(case, run):
    document, verb = pay_with(case)
    prompt = verb.prompt(for_="payment-card-number")
    prompt.play(case.sound("first"))
    prompt.pause(length=1)
    prompt.play(case.sound("second"), loop=2)
    caller = run(document)
    turn = caller.hear()
    assert turn.sounds == ["first", "second"]
    first, second = turn.sound.find(bytes([turn.sound[0]]) * 160), len(turn.sound)
    assert second - first >= 1600 + 8000 + 2 * 1600 - 320, "a second of silence between, and the second sound twice"
    caller.hang_up()


# Prompt


@covers("Prompt.for_")
def test_Prompt_for_speaks_at_its_card_step(case, run):
    document, verb = pay_with(case, confirmation=True)
    moments = [
        "payment-card-number", "expiration-date", "postal-code", "security-code", "confirmation", "payment-processing",
    ]  # fmt: skip
    for moment in moments:
        verb.prompt(for_=moment).play(case.sound(moment))
    caller = run(document)
    caller.pay([*CARD, "1"])
    assert case.action()["Result"] == "success"
    assert [name for name in caller.sounds() if name in moments] == moments


def test_Prompt_for_speaks_at_its_bank_step(case, run):
    document, verb = pay_with(case, payment_method="ach-debit")
    moments = ["bank-routing-number", "bank-account-number", "payment-processing"]
    for moment in moments:
        verb.prompt(for_=moment).play(case.sound(moment))
    caller = run(document)
    caller.pay(BANK)
    assert caller.sounds() == moments


def test_Prompt_for_takes_a_list(case, run):
    document, verb = pay_with(case)
    verb.prompt(for_="payment-card-number expiration-date").play(case.sound("both"))
    caller = run(document)
    caller.pay(CARD)
    assert caller.sounds() == ["both", "both"]


# A "#" right after a field that completed by itself belongs to that field, hence "##".
FAILURES = [
    # step, errorType of the Prompt, ErrorType of the callback, how to get there, the keys that fail
    ("payment-card-number", "timeout", "input-timeout", [], "#"),
    ("payment-card-number", "invalid-card-number", "invalid-card-number", [], "4242424242424241#"),
    ("payment-card-number", "invalid-card-type", "invalid-card-type", [], "6011111111111117"),
    ("expiration-date", "invalid-date", "invalid-date", CARD[:1], "1328"),
    ("expiration-date", "timeout", "input-timeout", CARD[:1], "##"),
    ("postal-code", "invalid-postal-code", "invalid-postal-code", CARD[:2], "1#"),
    ("postal-code", "timeout", "input-timeout", CARD[:2], "##"),
    ("security-code", "invalid-security-code", "invalid-security-code", CARD[:3], "12#"),
    ("security-code", "timeout", "input-timeout", CARD[:3], "##"),
]
BANK_FAILURES = [
    ("bank-routing-number", "invalid-bank-routing-number", "invalid-bank-routing-number", [], "123456789"),
    ("bank-routing-number", "timeout", "input-timeout", [], "#"),
    ("bank-account-number", "invalid-bank-account-number", "invalid-bank-account-number", BANK[:1], "123#"),
    ("bank-account-number", "timeout", "input-timeout", BANK[:1], "##"),
]


@covers("Prompt.error_type")
@pytest.mark.parametrize(
    "step, errorType, ErrorType, before, keys", FAILURES + BANK_FAILURES, ids=lambda value: str(value)[:30]
)
def test_Prompt_errorType_speaks_after_that_error_and_the_callback_names_it(
    case, run, step, errorType, ErrorType, before, keys
):
    bank = step.startswith("bank")
    attributes = {"payment_method": "ach-debit"} if bank else {"min_postal_code_length": 5}
    document, verb = pay_with(case, **attributes)
    verb.prompt(for_=step).play(case.sound("asked"))
    verb.prompt(for_=step, error_type=errorType).play(case.sound("wrong"))
    verb.prompt(for_=step, error_type="input-matching-failed").play(case.sound("another error"))
    caller = run(document)
    rest = (BANK if bank else CARD)[len(before) :]
    caller.pay([*before, keys, "," + rest[0], *rest[1:]])
    assert caller.sounds() == ["asked", "wrong"], "an error prompt takes the place of the step's own"
    assert case.action()["Result"] == "success"
    failed = [status for status in case.statuses() if status["ErrorType"]]
    assert (failed[0]["For"], failed[0]["ErrorType"]) == (step, ErrorType)


def test_Prompt_errorType_internal_error_and_the_others_of_the_library_are_accepted(case, run):
    document, verb = pay_with(case)
    verb.prompt(for_="payment-processing", error_type="internal-error").play(case.sound("our fault"))
    verb.prompt(for_="payment-card-number", error_type="timeout invalid-card-number invalid-card-type").play(
        case.sound("one of three")
    )
    caller = run(document)
    caller.pay(["#", "," + VISA, *CARD[1:]])
    assert case.action()["Result"] == "success"
    assert caller.sounds() == ["one of three"]


@covers("Prompt.card_type")
def test_Prompt_cardType_speaks_for_that_brand(case, run):
    def heard(number, code):
        document, verb = pay_with(case, postal_code=False, valid_card_types="visa mastercard amex discover")
        verb.prompt(for_="security-code", card_type="visa mastercard").play(case.sound("three digits"))
        verb.prompt(for_="security-code", card_type="amex").play(case.sound("four digits"))
        caller = run(document)
        caller.pay([number, "1228", code])
        return caller.sounds()

    assert heard(NUMBERS["visa"], "123") == ["three digits"]
    assert heard(NUMBERS["mastercard"], "123") == ["three digits"]
    assert heard(NUMBERS["amex"], "1234") == ["four digits"]
    assert heard(NUMBERS["discover"], "123") == [], "the built-in prompt"


@pytest.mark.parametrize("cardType", [name for name in NUMBERS])
def test_Prompt_cardType_knows_every_brand(case, run, cardType):
    number = NUMBERS[cardType]
    document, verb = pay_with(case, postal_code=False, valid_card_types=cardType)
    verb.prompt(for_="security-code", card_type=cardType).play(case.sound("mine"))
    caller = run(document)
    caller.pay([number + "#", "1228", "1234" if number.startswith("37") else "123"])
    assert caller.sounds() == ["mine"]


@covers("Prompt.attempt")
def test_Prompt_attempt_speaks_at_that_attempt(case, run):
    document, verb = pay_with(case, max_attempts=3)
    for attempt in (1, "2 3", 4):
        verb.prompt(for_="payment-card-number", attempt=attempt).play(case.sound(f"attempt {attempt}"))
    caller = run(document)
    caller.pay([",1#"] * 4)
    assert caller.sounds() == ["attempt 1", "attempt 2 3", "attempt 2 3", "attempt 4"]


def test_the_Prompt_with_most_qualifiers_wins_and_a_tie_goes_to_the_later(case, run):
    document, verb = pay_with(case, max_attempts=2)
    verb.prompt(for_="payment-card-number", error_type="timeout", attempt="2").play(case.sound("both"))
    verb.prompt(for_="payment-card-number", error_type="timeout").play(case.sound("early"))
    verb.prompt(for_="payment-card-number", error_type="timeout").play(case.sound("late"))
    caller = run(document)
    caller.pay(["#", ",#", "," + VISA, *CARD[1:]])
    assert caller.sounds() == ["both", "late"]


@covers("Prompt.require_matching_inputs")
@pytest.mark.parametrize(
    "step", ["bank-routing-number", "bank-account-number", "payment-card-number", "expiration-date", "security-code"]
)
def test_Prompt_requireMatchingInputs_asks_twice_and_refuses_what_differs(case, run, step):
    bank = step.startswith("bank")
    fields = {"bank-routing-number": ["110000000", "021000021"], "bank-account-number": ["000123456789#", "12345678#"]}
    fields |= {"payment-card-number": [VISA, "4111111111111111"], "expiration-date": ["1228", "1128"]}
    fields |= {"security-code": ["123", "124"]}
    right, wrong = fields[step]
    document, verb = pay_with(case, **({"payment_method": "ach-debit"} if bank else {"postal_code": False}))
    verb.prompt(for_=step, require_matching_inputs=True).play(case.sound("once more"))
    verb.prompt(for_=step, error_type="input-matching-failed").play(case.sound("not the same"))
    order = ["bank-routing-number", "bank-account-number"]
    order = order if bank else ["payment-card-number", "expiration-date", "security-code"]
    keys = []
    for field in order:
        keys += [right, wrong, "," + right, right] if field == step else [fields[field][0]]
    caller = run(document)
    caller.pay(keys)
    assert caller.sounds() == ["once more", "not the same", "once more"]
    assert case.action()["Result"] == "success"
    assert "input-matching-failed" in told(case.statuses(), "ErrorType")


def test_require_matching_inputs_false_asks_once(case, run):
    document, verb = pay_with(case, payment_method="ach-debit")
    verb.prompt(for_="bank-routing-number", require_matching_inputs=False).play(case.sound("asked"))
    caller = run(document)
    caller.pay(BANK)
    assert case.action()["Result"] == "success"
    assert caller.sounds() == ["asked"]


@covers("VoiceResponse.prompt")
def test_the_library_s_loose_Prompt_can_be_put_into_a_Pay(case, run):
    document, verb = pay_with(case)
    loose = VoiceResponse().prompt(for_="payment-card-number")
    loose.play(case.sound("loose"))
    verb.append(loose)
    caller = run(document)
    caller.pay(CARD)
    assert caller.sounds() == ["loose"]


# Results


def test_caller_interrupted_with_star(case, run):
    run(pay(case)).pay(["42*"])
    assert case.action()["Result"] == "caller-interrupted-with-star"


def test_caller_hung_up(case, run):
    caller = run(pay(case))
    caller.hear()
    caller.press("4242")
    caller.hang_up()
    paid = case.action()
    assert (paid["Result"], paid["CallStatus"]) == ("caller-hung-up", "completed")


def test_a_declined_card_is_payment_connector_error_64012_with_ConnectorError(case, run):
    run(pay(case, charge_amount="5")).pay(["4000000000000002", *CARD[1:]])
    paid = case.action()
    assert (paid["Result"], paid["PayErrorCode"]) == ("payment-connector-error", "64012")
    assert paid["ConnectorError"] == "card_declined"
    assert paid["PaymentError"]
    assert "PaymentConfirmationCode" not in paid


@pytest.mark.parametrize(
    "code, attributes, status, answer",
    [
        ("64001", {"charge_amount": "5"}, 401, {}),
        ("64008", {"charge_amount": "5", "payment_method": "ach-debit"}, 200, {"charge_id": None, "error_code": "R01"}),
        ("64010", {"payment_method": "ach-debit"}, 200, {"token_id": None, "error_code": "R03"}),
        ("64012", {"charge_amount": "5"}, 402, {"charge_id": None, "error_code": "E1", "error_message": "No."}),
    ],
)
def test_what_the_gateway_refuses_has_its_code(case, run, application, code, attributes, status, answer):
    application.gateway_answers.append((status, answer))
    run(pay(case, payment_connector="Gateway", **attributes)).pay(BANK if "payment_method" in attributes else CARD)
    paid = case.action()
    assert (paid["Result"], paid["PayErrorCode"]) == ("payment-connector-error", code)
    assert paid["ConnectorError"] == answer.get("error_code", paid["ConnectorError"])


def test_an_answer_that_says_nothing_is_64002_and_the_outcome_unknown(case, run, application):
    before = len(application.gateway.snapshot())
    application.gateway_answers.extend([(200, {})] * 6)
    run(pay(case, payment_connector="Gateway", charge_amount="5")).pay(CARD)
    paid = case.action()
    asked = application.gateway.snapshot()[before:]
    assert len(asked) == 6 and len({request["transaction_id"] for request in asked}) == 1, "asked again, never anew"
    assert (paid["Result"], paid["PayErrorCode"]) == ("payment-connector-error", "64002")
    assert paid["PaymentError"] == "outcome unknown"


def test_test_mode_takes_test_numbers_only_64022(case, run, application):
    before = len(application.gateway.snapshot())
    run(pay(case, payment_connector="GatewayTest", charge_amount="5")).pay(CARD)
    paid = case.action()
    assert (paid["Result"], paid["PayErrorCode"]) == ("payment-connector-error", "64022")
    assert len(application.gateway.snapshot()) == before, "the gateway was not asked"


# The library's own list of names


def parameters_of(function):
    """Names a function of the library takes, without `self` and `kwargs`."""
    return set(inspect.signature(function).parameters) - {"self", "kwargs"}


def test_every_name_the_library_knows_is_covered():
    known = {f"Pay.{name}" for name in parameters_of(VoiceResponse.pay)}
    known |= {f"Prompt.{name}" for name in parameters_of(Pay.prompt) | parameters_of(VoiceResponse.prompt)}
    known |= {f"Parameter.{name}" for name in parameters_of(Pay.parameter)}
    known |= {f"Say.{name}" for name in parameters_of(Prompt.say)}
    known |= {f"Play.{name}" for name in parameters_of(Prompt.play)}
    known |= {f"Pause.{name}" for name in parameters_of(Prompt.pause)}
    nouns = {name for name, _ in inspect.getmembers(Prompt, inspect.isfunction) if name not in dir(VoiceResponse.__base__)}
    known |= {f"Prompt.{noun}" for noun in nouns if not noun.startswith("_")}
    assert set(inspect.signature(Pay.prompt).parameters) == set(inspect.signature(VoiceResponse.prompt).parameters)
    assert known <= COVERED, sorted(known - COVERED)
