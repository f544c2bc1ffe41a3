// What the Node tests share: the real binary, a merchant's application, and a caller who speaks as Twilio does.
// Whoever waits, waits for a request or a message, and gives up after PATIENCE.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

// Twilio's package and ws lie where NODE_PATH says, outside the repository: only `require` looks there.
export const require = createRequire(import.meta.url);
export const twilio = require("twilio");
const { WebSocket } = require("ws");

export const PATIENCE = 30_000;
export const BREATH = 400; // ms; the machine takes keys less than 250 ms apart for one burst
export const ACCOUNT = "AC0123456789abcdef0123456789abcdef";
export const TOKEN = "test-auth-token";
export const VISA = "4242424242424242";
export const CARD = [VISA, "1228", "94111", "123"];
export const BANK = ["110000000", "000123456789#"];

export const callSid = () => "CA" + randomUUID().replaceAll("-", "");

/** A list that can be waited on. */
export class Arrivals {
  items = [];
  #waiting = new Set();

  add(item) {
    this.items.push(item);
    for (const look of [...this.#waiting]) look();
  }

  /** What `find` makes of the list, once it is neither false nor undefined. */
  until(find, what) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        reject(new Error(`${what} never came; there came ${JSON.stringify(this.items)}`));
      }, PATIENCE);
      const look = () => {
        const found = find(this.items);
        if (found === undefined || found === false) return;
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(found);
      };
      this.#waiting.add(look);
      look();
    });
  }

  wait(wanted, what) {
    return this.until((items) => items.find(wanted), what);
  }
}

/** A mu-law code as a 16-bit sample (ITU-T G.711). */
function linear(code) {
  const bits = ~code & 0xff;
  const magnitude = ((((bits & 0x0f) << 3) + 0x84) << ((bits & 0x70) >> 4)) - 0x84;
  return bits & 0x80 ? -magnitude : magnitude;
}

/** 0.2 s of one value: mu-law has one code for it, by which it is known. */
function wav(code) {
  const samples = 1600;
  const file = Buffer.alloc(44 + samples * 2);
  file.write("RIFF", 0);
  file.writeUInt32LE(36 + samples * 2, 4);
  file.write("WAVEfmt ", 8);
  for (const [offset, value] of [[16, 16], [24, 8000], [28, 16000], [40, samples * 2]]) file.writeUInt32LE(value, offset);
  for (const [offset, value] of [[20, 1], [22, 1], [32, 2], [34, 16]]) file.writeUInt16LE(value, offset);
  file.write("data", 36);
  for (let index = 0; index < samples; index += 1) file.writeInt16LE(linear(code), 44 + index * 2);
  return file;
}

/** A merchant's application on loopback: documents, sounds, callbacks; and his payment processor at /gateway. */
export class Application {
  cases = new Map();
  gateway = new Arrivals();
  gatewayAnswers = [];
  sounds = new Map();

  static async start() {
    const application = new Application();
    application.server = createServer((request, response) => application.#take(request, response));
    await new Promise((resolve) => application.server.listen(0, "127.0.0.1", resolve));
    application.base = `http://127.0.0.1:${application.server.address().port}`;
    return application;
  }

  async #take(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    const url = new URL(request.url, this.base);
    const answer = (status, kind, content) => response.writeHead(status, { "content-type": kind }).end(content);
    if (url.pathname.startsWith("/sound/")) {
      const name = decodeURIComponent(url.pathname.slice("/sound/".length));
      return answer(200, "audio/wav", wav(this.sounds.get(name)));
    }
    if (url.pathname === "/gateway") {
      const asked = JSON.parse(body);
      this.gateway.add(asked);
      const said = asked.method === "charge" ? { charge_id: "ch_77" } : { token_id: "tok_77" };
      return answer(200, "application/json", JSON.stringify(this.gatewayAnswers.shift() ?? said));
    }
    const [, name, ...rest] = url.pathname.split("/");
    const form = Object.fromEntries(new URLSearchParams(request.method === "POST" ? body : url.search));
    const arrived = { method: request.method, url: this.base + request.url, path: rest.join("/"), headers: request.headers, form, body };
    const merchant = this.cases.get(name);
    answer(200, "text/xml", String(merchant.documents[arrived.path] ?? "<Response/>"));
    merchant.requests.add(arrived);
  }

  sound(name) {
    if (!this.sounds.has(name)) this.sounds.set(name, (this.sounds.size % 100) + 1);
    return `${this.base}/sound/${encodeURIComponent(name)}`;
  }

  /** The sounds in mu-law, in order. */
  namesIn(sound) {
    const names = new Map([...this.sounds].map(([name, code]) => [code, name]));
    const found = [];
    let last;
    for (let start = 0; start < sound.length; start += 160) {
      const frame = sound.subarray(start, start + 160);
      const name = frame.every((code) => code === frame[0]) ? names.get(frame[0]) : undefined;
      if (name && name !== last) found.push(name);
      last = name;
    }
    return found;
  }

  close() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }
}

/** One test's corner of the application. */
export class Case {
  requests = new Arrivals();
  documents = {};

  constructor(application) {
    this.application = application;
    this.name = "t" + randomUUID().slice(0, 8);
    application.cases.set(this.name, this);
  }

  url(path) {
    return `${this.application.base}/${this.name}/${path}`;
  }

  sound(name) {
    return this.application.sound(name);
  }

  wait(path, wanted = () => true) {
    return this.requests.wait((request) => request.path === path && wanted(request), path);
  }

  /** The fields of the action request, sent to the path `paid`. */
  async action() {
    return (await this.wait("paid")).form;
  }

  /** The fields of every statusCallback, once the one with the Result is there. */
  async statuses() {
    await this.wait("status", (request) => "Result" in request.form);
    return this.requests.items.filter((request) => request.path === "status").map((request) => request.form);
  }

  /** Every request passes Twilio's validators, and a tampered one does not. */
  checkRequests() {
    for (const request of this.requests.items) {
      const signature = request.headers["x-twilio-signature"];
      const signed = request.method === "POST" ? request.form : {};
      const valid = (url, form, token = TOKEN) => twilio.validateRequest(token, signature, url, form);
      assert.ok(valid(request.url, signed), `${request.method} ${request.url}`);
      assert.ok(!valid(request.url + "0", signed), "another URL");
      assert.ok(!valid(request.url, { ...signed, CallSid: "CA-of-somebody-else" }), "another field");
      assert.ok(!valid(request.url, signed, "another token"), "another token");
      const { pathname, search, searchParams } = new URL(request.url);
      if (searchParams.has("bodySHA256")) continue; // judged with its body, by the test that asked for it
      const asked = {
        protocol: "http", headers: request.headers, header: (name) => request.headers[name.toLowerCase()],
        originalUrl: pathname + search, url: pathname + search, body: signed,
      };
      assert.ok(twilio.validateExpressRequest(asked, TOKEN), "as Express middleware sees it");
      assert.ok(!twilio.validateExpressRequest({ ...asked, body: { ...signed, Digits: "tampered" } }, TOKEN));
    }
  }
}

/** A running `touchtone serve` with a data folder of its own. */
export class Server {
  static async start(application) {
    const server = new Server();
    server.folder = mkdtempSync(join(tmpdir(), "touchtone-"));
    mkdirSync(join(server.folder, "flows"));
    server.writeFlow("entry", "<Response><Redirect>{{ document }}</Redirect></Response>");
    const hold = `<Play>${application.sound("hold")}</Play><Pause length="600"/>`;
    server.writeFlow("hold", `<Response>${hold}</Response>`);
    const connector = (name, rest) => `[[connector]]\nname = "${name}"\n${rest}\n`;
    writeFileSync(
      join(server.folder, "touchtone.toml"),
      `account_sid = "${ACCOUNT}"\nauth_token = "${TOKEN}"\nflow_urls = ["${application.base}/"]\n[speech]\nengine = "none"\n` +
        connector("Default", 'kind = "sandbox"') +
        connector("Gateway", `kind = "generic"\nmode = "live"\nendpoint = "${application.base}/gateway"\nusername = "shop"\npassword = "secret"`),
    );
    const environment = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !name.startsWith("TOUCHTONE_") && name !== "RUST_LOG"),
    );
    const log = join(server.folder, "log.txt");
    server.process = spawn(
      process.env.TOUCHTONE,
      ["serve", "--config", "touchtone.toml", "--listen", "127.0.0.1:0", "--data", "data"],
      { cwd: server.folder, env: environment, stdio: ["ignore", "pipe", openSync(log, "w")] },
    );
    process.once("exit", () => server.process.kill("SIGKILL"));
    for await (const line of createInterface({ input: server.process.stdout })) {
      if (!line.startsWith("listening on ")) continue;
      server.base = line.slice("listening on ".length).trim();
      server.process.stdout.resume();
      return server;
    }
    throw new Error(`it did not start: ${readFileSync(log)}`);
  }

  writeFlow(name, document) {
    writeFileSync(join(this.folder, "flows", `${name}.xml`), String(document));
  }

  async close() {
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill("SIGKILL");
    await ended;
    rmSync(this.folder, { recursive: true });
  }
}

/** The far end of a stream. Echoes every mark at once, so that whatever is said has been heard. */
export class Caller {
  turns = new Arrivals();
  heard = 0;
  #sequence = 0;
  #lastKey = 0;

  static async dial(server, application, flow, parameters = {}) {
    const caller = new Caller();
    caller.callSid = callSid();
    caller.streamSid = "MZ" + caller.callSid.slice(2);
    caller.socket = new WebSocket(`${server.base.replace("http", "ws")}/media/twilio${flow}`, { perMessageDeflate: false });
    let sound = [];
    caller.socket.on("message", (text) => {
      const message = JSON.parse(text);
      assert.equal(message.streamSid, caller.streamSid);
      if (message.event === "media") sound.push(Buffer.from(message.media.payload, "base64"));
      if (message.event === "clear") sound = [];
      if (message.event !== "mark") return;
      caller.#send({ event: "mark", mark: message.mark });
      caller.turns.add(application.namesIn(Buffer.concat(sound)));
      sound = [];
    });
    caller.socket.on("close", () => caller.turns.add(null));
    await new Promise((resolve, reject) => caller.socket.once("open", resolve).once("error", reject));
    caller.socket.on("error", () => {});
    caller.socket.send(JSON.stringify({ event: "connected", protocol: "Call", version: "1.0.0" }));
    caller.#send({
      event: "start",
      start: {
        accountSid: ACCOUNT, streamSid: caller.streamSid, callSid: caller.callSid, tracks: ["inbound"],
        mediaFormat: { encoding: "audio/x-mulaw", sampleRate: 8000, channels: 1 }, customParameters: parameters,
      },
    });
    return caller;
  }

  #send(message) {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    this.#sequence += 1;
    this.socket.send(JSON.stringify({ ...message, sequenceNumber: String(this.#sequence), streamSid: this.streamSid }));
  }

  /** A comma is a breath: what follows does not belong to the burst before it (pay.md, section 3). */
  async press(keys) {
    for (const key of keys) {
      if (key === ",") {
        const rest = this.#lastKey + BREATH - performance.now();
        if (rest > 0) await new Promise((resolve) => setTimeout(resolve, rest));
        continue;
      }
      this.#lastKey = performance.now();
      this.#send({ event: "dtmf", dtmf: { track: "inbound_track", digit: key } });
    }
  }

  /** The sounds of the next turn; null once the server has closed. */
  async hear() {
    const turn = await this.turns.until((turns) => turns[this.heard], "a turn");
    if (turn !== null) this.heard += 1;
    return turn;
  }

  async hearSound(name) {
    for (let turn = await this.hear(); turn !== null; turn = await this.hear()) if (turn.includes(name)) return;
    throw new Error(`${name} was never heard; heard were ${this.sounds()}`);
  }

  sounds() {
    return this.turns.items.flatMap((turn) => turn ?? []);
  }

  hearOut() {
    return this.turns.until((turns) => turns.includes(null), "the end of the call");
  }

  async pay(groups) {
    for (const group of groups) {
      await this.hear();
      await this.press(group);
    }
    await this.hearOut();
  }

  hangUp() {
    this.#send({ event: "stop", stop: { accountSid: ACCOUNT, callSid: this.callSid } });
    this.socket.close();
  }
}

/** Everything a test file needs; `after` each file it is gone. */
export async function world({ after, afterEach, beforeEach }) {
  const application = await Application.start();
  const server = await Server.start(application);
  const client = twilio(ACCOUNT, TOKEN);
  client.api.baseUrl = server.base;
  const here = { application, server, client, callers: [] };
  here.call = async (flow = "/hold", parameters = {}) => {
    const caller = await Caller.dial(server, application, flow, parameters);
    here.callers.push(caller);
    return caller;
  };
  here.liveCall = async (parameters) => {
    const caller = await here.call("/hold", parameters);
    await caller.hearSound("hold");
    return caller;
  };
  here.run = (document, parameters = {}) => {
    here.case.documents.document = document;
    return here.call("/entry", { document: here.case.url("document"), ...parameters });
  };
  beforeEach(() => {
    here.case = new Case(application);
  });
  afterEach(() => {
    for (const caller of here.callers.splice(0)) caller.socket.terminate();
    here.case.checkRequests();
  });
  after(async () => {
    await server.close();
    await application.close();
  });
  return here;
}

/** The exception that the library makes of a refusal. */
export async function refusal(action) {
  try {
    await action();
  } catch (error) {
    assert.equal(error.constructor.name, "RestException", String(error));
    return error;
  }
  throw new Error("it was not refused");
}
