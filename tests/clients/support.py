"""What the Python tests share: the real binary, a merchant's application, and a caller who speaks as Twilio does.

Whoever waits, waits for a request, a message or a line of output, and gives up after PATIENCE. The one thing that takes its
time is a comma among pressed keys.
"""

import base64
import cmath
import io
import itertools
import json
import os
import subprocess
import tempfile
import threading
import time
import uuid
import wave
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from twilio.request_validator import RequestValidator
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

PATIENCE = 30
"""Seconds; longer than anything here takes."""

BREATH = 0.4
"""Seconds. The machine takes keys less than 0.25 s apart for one burst."""

ACCOUNT = "AC0123456789abcdef0123456789abcdef"
TOKEN = "test-auth-token"
VALIDATOR = RequestValidator(TOKEN)

VISA = "4242424242424242"
CARD = [VISA, "1228", "94111", "123"]
"""Number, expiration date, postal code, security code: a payment the sandbox approves."""

BANK = ["110000000", "000123456789#"]
"""Routing number and account number."""


def call_sid():
    """A call's name that no other test has."""
    return "CA" + uuid.uuid4().hex


class Conditioned:
    """A list that can be waited on."""

    def __init__(self):
        self.items = []
        self.changed = threading.Condition()

    def add(self, item):
        with self.changed:
            self.items.append(item)
            self.changed.notify_all()

    def snapshot(self):
        with self.changed:
            return list(self.items)

    def wait(self, predicate, what):
        """The first item that `predicate` accepts."""
        with self.changed:
            found = self.changed.wait_for(lambda: next((item for item in self.items if predicate(item)), None), PATIENCE)
            assert found is not None, f"{what} never came; there came {self.items}"
            return found

    def wait_until(self, predicate, what):
        """All items, once `predicate` accepts the list."""
        with self.changed:
            assert self.changed.wait_for(lambda: predicate(self.items), PATIENCE), f"never: {what}; {self.items}"
            return list(self.items)


@dataclass
class Request:
    """One request that arrived at the application."""

    method: str
    url: str
    path: str
    headers: dict
    body: str

    @property
    def form(self):
        """The fields, of the body or, for GET, of the query."""
        text = self.body if self.method == "POST" else urlsplit(self.url).query
        return dict(parse_qsl(text, keep_blank_values=True))

    def __getitem__(self, name):
        return self.form.get(name, "")

    def __contains__(self, name):
        return name in self.form

    @property
    def signed_form(self):
        """What goes into the signature beside the URL: of a GET nothing, its fields are in the URL."""
        return self.form if self.method == "POST" else {}

    @property
    def signature(self):
        return self.headers.get("x-twilio-signature", "")

    def is_signed(self):
        return VALIDATOR.validate(self.url, self.signed_form, self.signature)

    def __repr__(self):
        return f"<{self.method} {self.path} {self.form}>"


class Application:
    """A merchant's application on loopback: documents, sounds, callbacks; and his payment processor at /gateway."""

    def __init__(self):
        self.cases = {}
        self.gateway = Conditioned()
        self.gateway_answers = []
        self.sounds = {}
        application = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *arguments):
                pass

            def answer(self, status, kind, body):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def handle_any(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode()
                path = urlsplit(self.path).path
                if path.startswith("/sound/"):
                    return self.answer(200, "audio/wav", application.wav(unquote(path.removeprefix("/sound/"))))
                if path == "/gateway":
                    return self.answer(*application.processed(json.loads(body)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                _, name, rest = path.split("/", 2)
                request = Request(self.command, application.base + self.path, rest, headers, body)
                case = application.cases[name]
                document = case.answer_to(request)
                case.requests.add(request)
                return self.answer(200, "text/xml", str(document).encode())

            do_GET = do_POST = handle_any

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def sound(self, name):
        """The URL of a sound that a caller recognizes by `name`."""
        self.sounds.setdefault(name, len(self.sounds) % 100 + 1)
        return f"{self.base}/sound/{quote(name)}"

    def wav(self, name):
        """0.2 s of one value: mu-law has one code for it, by which it is known."""
        sample = linear(self.sounds[name])
        target = io.BytesIO()
        with wave.open(target, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(sample.to_bytes(2, "little", signed=True) * 1600)
        return target.getvalue()

    def names_in(self, sound):
        """The sounds in mu-law, in order."""
        codes = {code: name for name, code in self.sounds.items()}
        frames = (sound[start : start + 160] for start in range(0, len(sound), 160))
        whole = (codes.get(frame[0]) if len(set(frame)) == 1 else None for frame in frames)
        return [name for name, _ in itertools.groupby(whole) if name]

    def processed(self, body):
        self.gateway.add(body)
        status, answer = self.gateway_answers.pop(0) if self.gateway_answers else (200, None)
        if answer is None:
            answer = {"charge_id": "ch_77"} if body["method"] == "charge" else {"token_id": "tok_77"}
        return status, "application/json", json.dumps(answer).encode()


def linear(code):
    """A mu-law code as a 16-bit sample (ITU-T G.711)."""
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << ((code & 0x70) >> 4)) - 0x84
    return -magnitude if code & 0x80 else magnitude


EMPTY = "<?xml version='1.0'?><Response/>"


class Case:
    """One test's corner of the application, its paths under a name of its own."""

    def __init__(self, application):
        self.application = application
        self.name = "t" + uuid.uuid4().hex[:12]
        self.requests = Conditioned()
        self.documents = {}
        application.cases[self.name] = self

    def url(self, path):
        return f"{self.application.base}/{self.name}/{path}"

    def sound(self, name):
        return self.application.sound(name)

    def answer_to(self, request):
        answer = self.documents.get(request.path, EMPTY)
        return answer(request) if callable(answer) else answer

    def wait(self, path, predicate=lambda request: True):
        return self.requests.wait(lambda request: request.path == path and predicate(request), path)

    def action(self):
        """The action request, sent to the path `paid`."""
        return self.wait("paid")

    def last_status(self):
        """The statusCallback with the Result."""
        return self.wait("status", lambda request: "Result" in request)

    def statuses(self):
        """Every statusCallback, once the last one is there."""
        self.last_status()
        return [request for request in self.requests.snapshot() if request.path == "status"]

    def steps(self):
        """`For` of each step in the order they began."""
        return list(dict.fromkeys(status["For"] for status in self.statuses()))

    def check_requests(self):
        """Every request is signed, a tampered one is not, and each has an idempotency token of its own."""
        requests = self.requests.snapshot()
        for request in requests:
            assert request.is_signed(), request
            assert not VALIDATOR.validate(request.url + "0", request.signed_form, request.signature), request
            if request.method == "POST":
                tampered = {**request.form, "CallSid": "CA-of-somebody-else"}
                assert not VALIDATOR.validate(request.url, tampered, request.signature), request
            assert not RequestValidator("another token").validate(request.url, request.signed_form, request.signature)
        tokens = [request.headers.get("i-twilio-idempotency-token") for request in requests]
        assert all(tokens) and len(set(tokens)) == len(tokens), tokens


class Server:
    """A running `touchtone serve` with a data folder of its own."""

    def __init__(self, application, engine="none", toml=""):
        binary = os.environ["TOUCHTONE"]
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        self.flows = root / "flows"
        self.flows.mkdir()
        self.write_flow("entry", "<Response><Redirect>{{ document }}</Redirect></Response>")
        hold = f'<Play>{application.sound("hold")}</Play><Pause length="600"/>'
        self.write_flow("hold", f"<Response>{hold}</Response>")
        (root / "touchtone.toml").write_text(
            f"""
account_sid = "{ACCOUNT}"
auth_token = "{TOKEN}"
flow_urls = ["{application.base}/"]
{toml}
[speech]
engine = "{engine}"
[[connector]]
name = "Default"
kind = "sandbox"
[[connector]]
name = "Gateway"
kind = "generic"
mode = "live"
endpoint = "{application.base}/gateway"
username = "shop"
password = "secret"
[[connector]]
name = "GatewayTest"
kind = "generic"
mode = "test"
endpoint = "{application.base}/gateway"
username = "shop"
password = "secret"
"""
        )
        self.log = root / "log.txt"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TOUCHTONE_")}
        environment.pop("RUST_LOG", None)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [binary, "serve", "--config", "touchtone.toml", "--listen", "127.0.0.1:0", "--data", "data"],
                cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        for line in self.process.stdout:
            if line.startswith("listening on http://"):
                self.address = line.removeprefix("listening on http://").strip()
                break
        else:
            said = self.log.read_text()
            self.close()
            raise AssertionError(f"it did not start: {said}")
        self.base = f"http://{self.address}"

    def write_flow(self, name, document):
        (self.flows / f"{name}.xml").write_text(str(document))

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.folder.cleanup()


@dataclass
class Turn:
    """What was said before a mark."""

    sound: bytes
    sounds: list = field(default_factory=list)


class Caller:
    """The far end of a stream. Echoes every mark at once, so that whatever is said has been heard."""

    def __init__(self, server, application, flow="/hold", sid=None, **parameters):
        self.application = application
        self.call_sid = sid or call_sid()
        self.stream_sid = "MZ" + self.call_sid[2:]
        self.sequence = 0
        self.sending = threading.Lock()
        self.turns = Conditioned()
        self.heard = 0
        self.closed = threading.Event()
        url = f"ws://{server.address}/media/twilio{flow}"
        self.socket = connect(url, compression=None, open_timeout=PATIENCE, proxy=None).__enter__()
        self.last_key = 0.0
        self.send({"event": "connected", "protocol": "Call", "version": "1.0.0"}, numbered=False)
        self.send({
            "event": "start",
            "start": {
                "accountSid": ACCOUNT, "streamSid": self.stream_sid, "callSid": self.call_sid, "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": parameters,
            },
        })  # fmt: skip
        self.send({
            "event": "media",
            "media": {"track": "inbound", "chunk": "1", "timestamp": "0", "payload": base64.b64encode(b"\xff" * 160).decode()},
        })  # fmt: skip
        self.reader = threading.Thread(target=self.listen, daemon=True)
        self.reader.start()

    def send(self, message, numbered=True):
        with self.sending:
            if numbered:
                self.sequence += 1
                message = {**message, "sequenceNumber": str(self.sequence), "streamSid": self.stream_sid}
            try:
                self.socket.send(json.dumps(message))
            except ConnectionClosed:
                pass

    def listen(self):
        sound = bytearray()
        try:
            for text in self.socket:
                message = json.loads(text)
                assert message["streamSid"] == self.stream_sid
                match message["event"]:
                    case "media":
                        sound += base64.b64decode(message["media"]["payload"])
                    case "mark":
                        self.send({"event": "mark", "mark": message["mark"]})
                        self.turns.add(Turn(bytes(sound), self.application.names_in(bytes(sound))))
                        sound.clear()
                    case "clear":
                        sound.clear()
        except ConnectionClosed:
            pass
        self.closed.set()
        self.turns.add(None)

    def is_live(self):
        """Waits until the call has heard the sound with which `hold` begins."""
        self.hear_sound("hold")
        return self

    def hear(self):
        """The next turn; None once the server has closed."""
        turns = self.turns.wait_until(lambda turns: len(turns) > self.heard, "a turn")
        turn = turns[self.heard]
        if turn is not None:
            self.heard += 1
        return turn

    def hear_sound(self, name):
        """Passes over turns until one has this sound."""
        while turn := self.hear():
            if name in turn.sounds:
                return turn
        raise AssertionError(f"{name} was never heard; heard were {self.sounds()}")

    def sounds(self):
        """Every sound so far."""
        return [name for turn in self.turns.snapshot() if turn for name in turn.sounds]

    def press(self, keys):
        """A comma is a breath: what follows does not belong to the burst before it (pay.md, section 3)."""
        for key in keys:
            if key == ",":
                time.sleep(max(0.0, self.last_key + BREATH - time.monotonic()))
            elif not key.isspace():
                self.last_key = time.monotonic()
                self.send({"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": key}})

    def hear_out(self):
        """Waits until the server closes."""
        assert self.closed.wait(PATIENCE), f"the call goes on; heard were {self.sounds()}"
        return self

    def pay(self, groups):
        """Presses a group of keys after each turn, then hears the call out."""
        for group in groups:
            self.hear()
            self.press(group)
        return self.hear_out()

    def hang_up(self):
        self.send({"event": "stop", "stop": {"accountSid": ACCOUNT, "callSid": self.call_sid}})
        self.close()

    def close(self):
        self.socket.close()
        self.reader.join(PATIENCE)


ROWS, COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
KEYS = ("123A", "456B", "789C", "*0#D")


def keys_in(sound):
    """The DTMF keys in mu-law, in order (ITU-T Q.23): the strongest row and column of each stretch that is no silence."""
    samples = [linear(code) for code in sound]
    frames = [samples[start : start + 160] for start in range(0, len(samples) - 159, 160)]
    loud = [max(map(abs, frame)) > 1000 for frame in frames]
    keys = ""
    for is_loud, group in itertools.groupby(zip(loud, frames), key=lambda pair: pair[0]):
        if is_loud:
            tone = [sample for _, frame in group for sample in frame]
            row, column = (max(range(4), key=lambda index: strength(tone, band[index])) for band in (ROWS, COLUMNS))
            keys += KEYS[row][column]
    return keys


def strength(samples, frequency):
    turns = (cmath.exp(-2j * cmath.pi * frequency * index / 8000) * sample for index, sample in enumerate(samples))
    return abs(sum(turns))
