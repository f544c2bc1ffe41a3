"""The Python example of README.md, run as it stands there but for the two addresses."""

from pathlib import Path

from support import ACCOUNT, TOKEN, VISA

README = Path(__file__).resolve().parents[2] / "README.md"
KEYS = {"payment-card-number": VISA, "expiration-date": "1228", "security-code": "123"}


def example(base, status):
    """The only block of Python, pointed at the server and application of this test."""
    blocks = README.read_text().split("```python\n")[1:]
    assert len(blocks) == 1
    code = blocks[0].split("```")[0]
    for address, here in {"https://pay.example.com": base, "https://shop.example.com/status": status}.items():
        assert code.count(address) == 1
        code = code.replace(address, here)
    return code


def test_the_example_of_an_agent_charges_a_card(server, case, live_call):
    caller = live_call()

    def wait_until_keyed(field):
        caller.press(KEYS[field])
        case.wait("status", lambda told: told["Capture"] == field and told["PartialResult"] == "false")

    names = {
        "account_sid": ACCOUNT,
        "auth_token": TOKEN,
        "call_sid": caller.call_sid,
        "wait_until_keyed": wait_until_keyed,
    }
    exec(example(server.base, case.url("status")), names)
    last = case.wait("status", lambda told: "Result" in told)
    assert (last["Result"], last["Sid"], last["ChargeAmount"]) == ("success", names["payment"].sid, "20.45")
