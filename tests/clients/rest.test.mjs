// Twilio's Calls and Payments REST through client objects of the Node library, of which only the base URL was changed.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, afterEach, beforeEach, test } from "node:test";
import { ACCOUNT, BANK, CARD, PATIENCE, TOKEN, VISA, callSid, refusal, require, twilio, world } from "./support.mjs";

const here = await world({ after, afterEach, beforeEach });
const { client } = here;
const { VoiceResponse } = twilio.twiml;

const playing = (name) => {
  const document = new VoiceResponse();
  document.play({}, here.case.sound(name));
  return document;
};

/** A request without the library, for what it hides or does not know. */
async function raw(method, path, { form, token = TOKEN } = {}) {
  const authorization = "Basic " + Buffer.from(`${ACCOUNT}:${token}`).toString("base64");
  const response = await fetch(`${here.server.base}/2010-04-01/Accounts/${ACCOUNT}/${path}`, {
    method, headers: { authorization }, body: form && new URLSearchParams(form), signal: AbortSignal.timeout(PATIENCE),
  });
  const text = await response.text();
  return { status: response.status, text, json: JSON.parse(text) };
}

// Calls

test("calls(sid).fetch shows a live call", async () => {
  const caller = await here.liveCall({ From: "+15551230001", To: "+15551230002" });
  const call = await client.calls(caller.callSid).fetch();
  assert.deepEqual(
    [call.sid, call.accountSid, call.status, call.from, call.to, call.direction, call.apiVersion],
    [caller.callSid, ACCOUNT, "in-progress", "+15551230001", "+15551230002", "inbound", "2010-04-01"],
  );
  for (const date of [call.dateCreated, call.dateUpdated, call.startTime]) assert.ok(date.getTime() > 0, "RFC 2822");
  assert.equal(call.subresourceUris.payments, `/2010-04-01/Accounts/${ACCOUNT}/Calls/${caller.callSid}/Payments.json`);
});

test("calls.list and calls.each page through all calls of a status", async () => {
  const callers = await Promise.all(Array.from({ length: 5 }, () => here.liveCall()));
  const expected = callers.map((caller) => caller.callSid).sort();
  const listed = (await client.calls.list({ status: "in-progress" })).map((call) => call.sid);
  for (const sid of expected) assert.ok(listed.includes(sid));
  const paged = [];
  await new Promise((done) => {
    client.calls.each({ status: "in-progress", pageSize: 2, callback: (call) => paged.push(call.sid), done });
  });
  assert.deepEqual(paged.filter((sid) => expected.includes(sid)).sort(), expected, "page by page, none twice");
  assert.equal((await client.calls.list({ status: "in-progress", limit: 3 })).length, 3);
  const first = await client.calls.page({ status: "in-progress", pageSize: 2 });
  assert.equal(first.instances.length, 2);
  assert.ok(first.nextPageUrl.startsWith(here.server.base), first.nextPageUrl);
  assert.equal((await first.nextPage()).instances.length, 2);
  assert.deepEqual((await client.calls.list({ status: "completed" })).filter((call) => expected.includes(call.sid)), []);
});

test("update twiml runs the document at once", async () => {
  const caller = await here.liveCall();
  const call = await client.calls(caller.callSid).update({ twiml: playing("new document").toString() });
  assert.deepEqual([call.sid, call.status], [caller.callSid, "in-progress"]);
  await caller.hearSound("new document");
  await caller.hearOut();
});

for (const method of ["POST", "GET"]) {
  test(`update url fetches the document by ${method}`, async () => {
    const caller = await here.liveCall();
    here.case.documents.next = playing("fetched");
    await client.calls(caller.callSid).update({ url: here.case.url("next"), method });
    await caller.hearSound("fetched");
    const request = await here.case.wait("next");
    assert.deepEqual([request.method, request.form.CallSid], [method, caller.callSid]);
  });
}

test("update status completed hangs up", async () => {
  const caller = await here.liveCall();
  assert.equal((await client.calls(caller.callSid).update({ status: "completed" })).status, "completed");
  await caller.hearOut();
});

test("a call that does not exist is a RestException 20404 with status and moreInfo", async () => {
  const error = await refusal(() => client.calls(callSid()).fetch());
  assert.deepEqual([error.status, error.code], [404, 20404]);
  assert.match(error.moreInfo, /20404/);
  assert.ok(error.message);
});

test("wrong credentials are 401 20003", async () => {
  const stranger = twilio(ACCOUNT, "wrong");
  stranger.api.baseUrl = here.server.base;
  const error = await refusal(() => stranger.calls(callSid()).fetch());
  assert.deepEqual([error.status, error.code], [401, 20003]);
});

test("a document that is no XML is 400 and the call goes on", async () => {
  const caller = await here.liveCall();
  assert.equal((await refusal(() => client.calls(caller.callSid).update({ twiml: "<Response" }))).status, 400);
  assert.equal((await client.calls(caller.callSid).fetch()).status, "in-progress");
});

// Payments

const FIELD = {
  "payment-card-number": "PaymentCardNumber", "expiration-date": "ExpirationDate", "security-code": "SecurityCode",
  "postal-code": "PaymentCardPostalCode", "bank-routing-number": "BankRoutingNumber",
  "bank-account-number": "BankAccountNumber",
};
const CARD_FIELDS = [
  ["payment-card-number", VISA, "xxxxxxxxxxxx4242"], ["expiration-date", "1228", "1228"],
  ["postal-code", "94111", "94111"], ["security-code", "123", "xxx"],
];
const BANK_FIELDS = [
  ["bank-routing-number", BANK[0], "110000000"], ["bank-account-number", BANK[1], "**********89"],
];

/** An agent's screen. */
class Agent {
  static async start(parameters = {}) {
    const agent = new Agent();
    agent.case = here.case;
    agent.caller = await here.liveCall();
    agent.target = here.case.url("status");
    agent.payments = client.calls(agent.caller.callSid).payments;
    agent.payment = await agent.payments.create({
      idempotencyKey: randomUUID(), statusCallback: agent.target, ...parameters,
    });
    return agent;
  }

  update(parameters = {}) {
    const common = { idempotencyKey: randomUUID(), statusCallback: this.target };
    return this.payments(this.payment.sid).update({ ...common, ...parameters });
  }

  /** Captures a field; the fields of its last callback, with the mask or the error. */
  async capture(field, keys) {
    const before = this.case.requests.items.length;
    await this.update({ capture: field });
    await this.caller.press(this.failed ? `,${keys}` : keys); // what follows a failing key too fast belongs to it
    const name = FIELD[field.replace("-matcher", "")];
    const ended = ({ form }) => form.Capture === field && (form.ErrorType || (form.PartialResult === "false" && name in form));
    const { form } = await this.case.requests.until((items) => items.slice(before).find(ended), `the end of ${field}`);
    this.failed = Boolean(form.ErrorType);
    return form;
  }

  async captureAll(fields) {
    for (const [field, keys, mask] of fields) {
      const told = await this.capture(field, keys);
      assert.deepEqual([told[FIELD[field]], told.PartialResult, told.ErrorType ?? ""], [mask, "false", ""], field);
    }
    return this;
  }

  async finish(status = "complete") {
    await this.update({ status });
    return this.last();
  }

  async last() {
    const { form } = await this.case.wait("status", (request) => "Result" in request.form);
    const numbers = this.statuses().map((status) => status.SequenceNumber);
    assert.deepEqual(numbers, numbers.map((_, index) => String(index)), "SequenceNumber counts from 0 without a gap");
    return form;
  }

  statuses() {
    return this.case.requests.items.filter((request) => request.path === "status").map((request) => request.form);
  }
}

test("a card payment led by an agent succeeds", async () => {
  const agent = await Agent.start({ chargeAmount: 20.45, currency: "usd", paymentMethod: "credit-card", input: "dtmf" });
  assert.match(agent.payment.sid, /^PK[0-9a-f]{32}$/);
  assert.deepEqual([agent.payment.accountSid, agent.payment.callSid], [ACCOUNT, agent.caller.callSid]);
  assert.ok(agent.payment.dateCreated.getTime() > 0 && agent.payment.dateUpdated.getTime() > 0, "RFC 2822");
  await agent.captureAll(CARD_FIELDS);
  const last = await agent.finish();
  assert.equal(last.Result, "success");
  assert.match(last.PaymentConfirmationCode, /^ch_/);
  assert.equal(last.Sid, agent.payment.sid);
  const partial = agent.statuses().filter((status) => status.PartialResult === "true" && status.Capture === "payment-card-number");
  assert.ok(partial.length >= VISA.length - 1, "one a digit");
  for (const status of partial) assert.match(status.PaymentCardNumber ?? "", /^x*$/, "the last four are hidden too");
});

test("an ach-debit payment led by an agent succeeds", async () => {
  const agent = await Agent.start({ paymentMethod: "ach-debit", bankAccountType: "commercial-checking", chargeAmount: 300 });
  const last = await (await agent.captureAll(BANK_FIELDS)).finish();
  assert.deepEqual([last.Result, last.BankAccountType, last.BankAccountNumber], ["success", "commercial-checking", "**********89"]);
});

test("every other parameter of create does what it says", async () => {
  const before = here.application.gateway.items.length;
  const agent = await Agent.start({
    paymentConnector: "Gateway", description: "Order 7", parameter: { order: "7" }, tokenType: "one-time",
    minPostalCodeLength: 5, postalCode: true, securityCode: false, timeout: 60, validCardTypes: "visa jcb",
    requireMatchingInputs: "expiration-date", confirmation: "true",
  });
  assert.equal((await agent.capture("payment-card-number", "5555555555554444")).ErrorType, "invalid-card-type");
  assert.equal((await agent.capture("postal-code", "94#")).ErrorType, "invalid-postal-code");
  await agent.captureAll(CARD_FIELDS.slice(0, 3));
  assert.equal((await agent.capture("expiration-date-matcher", "1128")).ErrorType, "input-matching-failed");
  await agent.captureAll(CARD_FIELDS.slice(1, 2));
  assert.equal((await agent.capture("expiration-date-matcher", "1228")).ErrorType ?? "", "");
  await agent.update({ status: "complete" });
  await agent.caller.hear();
  await agent.caller.press("1");
  const last = await agent.last();
  assert.deepEqual([last.Result, last.PaymentToken, last.TokenType], ["success", "tok_77", "one-time"]);
  const asked = here.application.gateway.items[before];
  assert.deepEqual([asked.method, asked.description, asked.parameters], ["tokenize", "Order 7", { order: "7" }]);
  assert.ok(!("cvv" in asked));
});

test("cancel, hang-up and a finished session", async () => {
  const agent = await Agent.start();
  assert.equal((await agent.finish("cancel")).Result, "transaction-cancelled");
  const error = await refusal(() => agent.update({ capture: "postal-code" }));
  assert.deepEqual([error.status, error.code], [409, 64021]);
});

test("a hang-up in between is caller-hung-up", async () => {
  const agent = await Agent.start();
  await agent.captureAll(CARD_FIELDS.slice(0, 2));
  agent.caller.hangUp();
  assert.equal((await agent.last()).Result, "caller-hung-up");
});

test("refusals are RestExceptions with code and status", async () => {
  const agent = await Agent.start();
  const refused = async (action) => {
    const { status, code, moreInfo } = await refusal(action);
    assert.match(moreInfo, new RegExp(String(code)));
    return [status, code];
  };
  const common = { idempotencyKey: randomUUID(), statusCallback: agent.target };
  assert.deepEqual(await refused(() => agent.update()), [400, 64018]);
  assert.deepEqual(await refused(() => agent.update({ status: "complete" })), [400, 64019]);
  assert.deepEqual(await refused(() => agent.update({ capture: "shoe-size" })), [400, 64020]);
  assert.deepEqual(await refused(() => agent.payments.create(common)), [409, 64021], "one session a call");
  assert.deepEqual(await refused(() => agent.payments("PK" + "0".repeat(32)).update({ ...common, status: "cancel" })), [404, 20404]);
  assert.deepEqual(await refused(() => client.calls(callSid()).payments.create(common)), [404, 20404]);
  await here.case.wait("status", (request) => request.form.ErrorType === "session-in-progress");
});

test("an IdempotencyKey gives the first answer again, with another body 409", async () => {
  const caller = await here.liveCall();
  const payments = client.calls(caller.callSid).payments;
  const form = { idempotencyKey: "once", statusCallback: here.case.url("status"), chargeAmount: 5 };
  const [first, again] = [await payments.create(form), await payments.create(form)];
  assert.equal(again.sid, first.sid);
  assert.equal((await refusal(() => payments.create({ ...form, chargeAmount: 6 }))).status, 409);
});

test("GET of a payment and of a call's payments shows masks only", async () => {
  const agent = await Agent.start({ chargeAmount: 5 });
  await agent.captureAll(CARD_FIELDS.slice(0, 1));
  const path = `Calls/${agent.caller.callSid}/Payments`;
  const one = await raw("GET", `${path}/${agent.payment.sid}.json`);
  assert.deepEqual([one.status, one.json.sid], [200, agent.payment.sid]);
  assert.ok(one.text.includes("4242") && !one.text.includes(VISA));
  const all = await raw("GET", `${path}.json`);
  assert.deepEqual([all.status, all.json.payments.map((payment) => payment.sid)], [200, [agent.payment.sid]]);
  assert.equal((await raw("GET", `${path}.json`, { token: "wrong" })).status, 401);
});

test("the parameters and words the types declare are the ones covered here", () => {
  const types = readFileSync(require.resolve("twilio/lib/rest/api/v2010/account/call/payment.d.ts"), "utf8");
  const names = (name) => {
    const [, body] = types.match(new RegExp(`interface ${name} \\{([^}]*)\\}`));
    return [...body.matchAll(/^\s*(\w+)\??:/gm)].map(([, found]) => found).sort();
  };
  const words = (name) => [...types.match(new RegExp(`type ${name} = ([^;]+);`))[1].matchAll(/"([^"]+)"/g)].map(([, word]) => word).sort();
  assert.deepEqual(names("PaymentListInstanceCreateOptions"), [
    "bankAccountType", "chargeAmount", "confirmation", "currency", "description", "idempotencyKey", "input",
    "minPostalCodeLength", "parameter", "paymentConnector", "paymentMethod", "postalCode", "requireMatchingInputs",
    "securityCode", "statusCallback", "timeout", "tokenType", "validCardTypes",
  ]);
  assert.deepEqual(names("PaymentContextUpdateOptions"), ["capture", "idempotencyKey", "status", "statusCallback"]);
  const matchers = ["expiration-date", "payment-card-number", "postal-code", "security-code"].map((field) => `${field}-matcher`);
  assert.deepEqual(words("PaymentCapture"), [...Object.keys(FIELD), ...matchers].sort());
  assert.deepEqual(words("PaymentStatus"), ["cancel", "complete"]);
  assert.deepEqual(words("PaymentBankAccountType"), ["commercial-checking", "consumer-checking", "consumer-savings"]);
  assert.equal(CARD.length, CARD_FIELDS.length);
});
