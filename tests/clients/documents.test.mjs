// Documents that Twilio's library for Node generates: every attribute and every value its types declare.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, afterEach, beforeEach, test } from "node:test";
import { BANK, CARD, VISA, require, twilio, world } from "./support.mjs";

const here = await world({ after, afterEach, beforeEach });
const { VoiceResponse } = twilio.twiml;
const types = readFileSync(require.resolve("twilio/lib/twiml/VoiceResponse.d.ts"), "utf8");

/** The words of a declared type. */
function wordsOf(name) {
  const [, words] = types.match(new RegExp(`type ${name} = ([^;]+);`)) ?? assert.fail(`${name} is no longer declared`);
  return [...words.matchAll(/"([^"]+)"/g)].map(([, word]) => word);
}

/** The names of every declared interface of that name. */
function attributesOf(name) {
  const names = new Set();
  for (const [, body] of types.matchAll(new RegExp(`interface ${name} \\{([^}]*)\\}`, "g"))) {
    for (const [, attribute] of body.matchAll(/^\s*(\w+)\??:/gm)) names.add(attribute);
  }
  return [...names].sort();
}

function pay(attributes = {}, more = () => {}) {
  const document = new VoiceResponse();
  const verb = document.pay({ action: here.case.url("paid"), statusCallback: here.case.url("status"), ...attributes });
  more(verb);
  return document;
}

async function paid(attributes, keys = CARD, more) {
  const caller = await here.run(pay(attributes, more));
  await caller.pay(keys);
  return { caller, form: await here.case.action(), statuses: await here.case.statuses() };
}

const NUMBERS = {
  visa: VISA, mastercard: "5555555555554444", amex: "378282246310005", maestro: "6771798021000008",
  discover: "6011111111111117", optima: "378282246310005", jcb: "3566002020360505",
  "diners-club": "3056930009020004", enroute: "201400000000009",
};
const codeOf = (number) => (number.startsWith("37") ? "1234" : "123");

test("the attributes of Pay, Prompt and Parameter are the ones covered here", () => {
  assert.deepEqual(attributesOf("PayAttributes"), [
    "action", "bankAccountType", "chargeAmount", "currency", "description", "input", "language", "maxAttempts",
    "minPostalCodeLength", "paymentConnector", "paymentMethod", "postalCode", "securityCode", "statusCallback",
    "statusCallbackMethod", "timeout", "tokenType", "validCardTypes",
  ]);
  assert.deepEqual(attributesOf("PromptAttributes"), ["attempt", "cardType", "errorType", "for", "requireMatchingInputs"]);
  assert.deepEqual(attributesOf("ParameterAttributes"), ["name", "value"]);
});

test("a document with every attribute at once charges the card", async () => {
  const before = here.application.gateway.items.length;
  const attributes = {
    action: "paid", chargeAmount: "20.45", currency: "usd", description: "Order 7", input: "dtmf", language: "en-US",
    maxAttempts: 2, minPostalCodeLength: 5, paymentConnector: "Gateway", paymentMethod: "credit-card",
    postalCode: "true", securityCode: true, statusCallback: "status", statusCallbackMethod: "POST", timeout: 7,
    tokenType: "reusable", validCardTypes: ["visa", "jcb"],
  };
  const { form, statuses } = await paid(attributes, CARD, (verb) => verb.parameter({ name: "order", value: "7 & 8" }));
  assert.equal(form.Result, "success");
  assert.equal(form.PaymentConnector, "Gateway");
  assert.equal(form.PaymentConfirmationCode, "ch_77");
  assert.equal(form.PaymentCardNumber, "xxxx-xxxx-xxxx-4242");
  assert.equal(form.PaymentCardPostalCode, "94111");
  assert.deepEqual([...new Set(statuses.map((status) => status.For))], [
    "payment-card-number", "expiration-date", "postal-code", "security-code", "payment-processing",
  ]);
  const asked = here.application.gateway.items[before];
  assert.deepEqual([asked.method, Number(asked.amount), asked.currency_code], ["charge", 20.45, "USD"]);
  assert.deepEqual([asked.description, asked.parameters], ["Order 7", { order: "7 & 8" }]);
});

for (const route of ["flow", "Redirect", "action", "url parameter"]) {
  test(`a generated document runs as ${route}`, async () => {
    const document = pay({ chargeAmount: "5" });
    here.case.documents.document = document;
    const url = here.case.url("document");
    let caller;
    if (route === "flow") here.server.writeFlow(here.case.name, document);
    if (route === "flow") caller = await here.call(`/${here.case.name}`);
    if (route === "Redirect") caller = await here.call("/entry", { document: url });
    if (route === "url parameter") caller = await here.call("", { url });
    if (route === "action") {
      const menu = new VoiceResponse();
      menu.gather({ action: url, numDigits: 1 });
      here.server.writeFlow(here.case.name, menu);
      caller = await here.call(`/${here.case.name}`);
      await caller.press("1");
    }
    await caller.pay(CARD);
    assert.equal((await here.case.action()).Result, "success");
  });
}

for (const bankAccountType of wordsOf("PayBankAccountType")) {
  test(`bankAccountType ${bankAccountType}`, async () => {
    const { form } = await paid({ paymentMethod: "ach-debit", bankAccountType }, BANK);
    assert.deepEqual([form.Result, form.BankAccountType], ["success", bankAccountType]);
    assert.deepEqual([form.BankRoutingNumber, form.BankAccountNumber], ["110000000", "**********89"]);
  });
}

for (const paymentMethod of wordsOf("PayPaymentMethod")) {
  test(`paymentMethod ${paymentMethod}`, async () => {
    const { form } = await paid({ paymentMethod }, paymentMethod === "ach-debit" ? BANK : CARD);
    assert.deepEqual([form.Result, form.PaymentMethod], ["success", paymentMethod]);
  });
}

for (const input of wordsOf("PayInput")) {
  test(`input ${input}`, async () => assert.equal((await paid({ input })).form.Result, "success"));
}

for (const tokenType of wordsOf("PayTokenType")) {
  test(`tokenType ${tokenType}`, async () => {
    const { form } = await paid({ tokenType });
    assert.match(form.PaymentToken, /^tok_/);
    assert.equal("ProfileId" in form, tokenType === "reusable");
  });
}

for (const statusCallbackMethod of wordsOf("PayStatusCallbackMethod")) {
  test(`statusCallbackMethod ${statusCallbackMethod}`, async () => {
    await paid({ statusCallbackMethod });
    const requests = here.case.requests.items.filter((request) => request.path === "status");
    assert.deepEqual([...new Set(requests.map((request) => request.method))], [statusCallbackMethod]);
  });
}

for (const language of wordsOf("PayLanguage")) {
  test(`language ${language}`, async () => {
    const { form } = await paid({ language, postalCode: "false" }, [CARD[0], CARD[1], CARD[3]]);
    assert.deepEqual([form.Result, form.PaymentError], ["success", undefined]);
  });
}

for (const brand of wordsOf("PayValidCardTypes")) {
  test(`validCardTypes ${brand}`, async () => {
    const number = NUMBERS[brand];
    const other = brand === "visa" ? NUMBERS.mastercard : VISA;
    const keys = [other, `,${number}#`, "1228", codeOf(number)];
    const { form, statuses } = await paid({ validCardTypes: [brand], postalCode: "false" }, keys);
    assert.deepEqual([form.Result, form.PaymentCardType], ["success", brand]);
    assert.ok(statuses.some((status) => status.ErrorType === "invalid-card-type"));
  });
}

for (const [maxAttempts, tries] of [[1, 2], [2, 3], [3, 4]]) {
  test(`maxAttempts ${maxAttempts}`, async () => {
    const { form, statuses } = await paid({ maxAttempts }, Array(tries).fill(",1#"));
    assert.equal(form.Result, "too-many-failed-attempts");
    assert.equal(Math.max(...statuses.map((status) => Number(status.Attempt ?? 0))), tries);
  });
}

for (const [securityCode, postalCode] of [[true, "true"], [false, "true"], [true, "false"], [true, "10001"]]) {
  test(`securityCode ${securityCode} and postalCode ${postalCode}`, async () => {
    const asked = [VISA, "1228", ...(postalCode === "true" ? ["94111"] : []), ...(securityCode ? ["123"] : [])];
    const { form } = await paid({ securityCode, postalCode }, asked);
    assert.equal(form.SecurityCode, securityCode ? "xxx" : undefined);
    assert.equal(form.PaymentCardPostalCode, { true: "94111", false: undefined, 10001: "10001" }[postalCode]);
  });
}

test("timeout ends the wait for a first digit with input-timeout", async () => {
  const caller = await here.run(pay({ timeout: 1, maxAttempts: 1 }));
  await caller.hearOut();
  assert.equal((await here.case.action()).Result, "too-many-failed-attempts");
  const errors = (await here.case.statuses()).map((status) => status.ErrorType).filter(Boolean);
  assert.ok(errors.length >= 1 && errors.every((error) => error === "input-timeout"), String(errors));
});

test("minPostalCodeLength refuses a shorter postal code", async () => {
  const { form, statuses } = await paid({ minPostalCodeLength: 6 }, [VISA, "1228", "94111#", ",941110#", "123"]);
  assert.equal(form.PaymentCardPostalCode, "941110");
  assert.ok(statuses.some((status) => status.ErrorType === "invalid-postal-code"));
});

// Where a Prompt's step stands, and keys that cause each of the library's errors there.
const CAUSES = {
  timeout: ["payment-card-number", [], "#"],
  "invalid-card-number": ["payment-card-number", [], "4242424242424241#"],
  "invalid-card-type": ["payment-card-number", [], "6011111111111117"],
  "invalid-date": ["expiration-date", [VISA], "1328"],
  "invalid-security-code": ["security-code", CARD.slice(0, 3), "12#"],
  "internal-error": ["payment-processing", [], ""],
  "input-matching-failed": ["expiration-date", [VISA, "1228"], "1128"],
};

for (const errorType of wordsOf("PromptErrorType")) {
  test(`Prompt errorType ${errorType}`, async () => {
    const [step, before, keys] = CAUSES[errorType] ?? assert.fail(`${errorType} is new`);
    const matching = errorType === "input-matching-failed";
    const order = ["payment-card-number", "expiration-date", "postal-code", "security-code"];
    const rest = errorType === "internal-error" ? CARD : CARD.slice(order.indexOf(step));
    const again = matching ? [",1228", "1228", "94111", "123"] : [keys ? `,${rest[0]}` : rest[0], ...rest.slice(1)];
    const { caller, form } = await paid({}, [...before, ...(keys ? [keys] : []), ...again], (verb) => {
      verb.prompt({ for: step, errorType: [errorType] }).play({}, here.case.sound(`wrong ${errorType}`));
      if (matching) verb.prompt({ for: step, requireMatchingInputs: true }).play({}, here.case.sound("again"));
    });
    assert.equal(form.Result, "success", form.PaymentError);
    const expected = { "internal-error": [], "input-matching-failed": ["again", `wrong ${errorType}`, "again"] };
    assert.deepEqual(caller.sounds(), expected[errorType] ?? [`wrong ${errorType}`]);
  });
}

for (const cardType of wordsOf("PromptCardType")) {
  test(`Prompt cardType ${cardType}`, async () => {
    const number = NUMBERS[cardType];
    const keys = [`${number}#`, "1228", codeOf(number)];
    const { caller } = await paid({ validCardTypes: [cardType], postalCode: "false" }, keys, (verb) => {
      verb.prompt({ for: "security-code", cardType: [cardType] }).play({}, here.case.sound("mine"));
      const others = wordsOf("PromptCardType").filter((other) => NUMBERS[other] !== number);
      verb.prompt({ for: "security-code", cardType: others }).play({}, here.case.sound("not mine"));
    });
    assert.deepEqual(caller.sounds(), ["mine"]);
  });
}

test("Prompt for knows every step of the library", async () => {
  const known = wordsOf("PromptFor");
  const heard = new Set();
  for (const [paymentMethod, keys] of [["credit-card", CARD], ["ach-debit", BANK]]) {
    const { caller } = await paid({ paymentMethod }, keys, (verb) => {
      for (const step of known) verb.prompt({ for: step }).play({}, here.case.sound(step));
    });
    for (const name of caller.sounds()) heard.add(name);
  }
  assert.deepEqual([...heard].sort(), known.sort());
});

test("Prompt attempt is a list of numbers", async () => {
  const { caller } = await paid({ maxAttempts: 3 }, [",1#", ",1#", ",1#", ",1#"], (verb) => {
    verb.prompt({ for: "payment-card-number", attempt: [1, 4] }).play({}, here.case.sound("one or four"));
    verb.prompt({ for: "payment-card-number", attempt: [2, 3] }).play({}, here.case.sound("two or three"));
  });
  assert.deepEqual(caller.sounds(), ["one or four", "two or three", "two or three", "one or four"]);
});

test("Say, Play and Pause stand in a Prompt in any number", async () => {
  const { caller, form } = await paid({}, CARD, (verb) => {
    const prompt = verb.prompt({ for: "payment-card-number" });
    prompt.say({ language: "en-GB", voice: "alice", loop: 2 }, "Your card number, please");
    prompt.play({}, here.case.sound("first"));
    prompt.pause({ length: 1 });
    prompt.play({ loop: 2 }, here.case.sound("second"));
  });
  assert.deepEqual(caller.sounds(), ["first", "second"]);
  assert.equal(form.Result, "success");
});

test("a wrong value is a validation-error 64020", async () => {
  const { form } = await paid({ timeout: 601 }, []);
  assert.deepEqual([form.Result, form.PayErrorCode], ["validation-error", "64020"]);
  assert.match(form.PaymentError, /timeout/);
});

test("validateRequestWithBody tells a signed URL from a forged one", async () => {
  const { createHash } = await import("node:crypto");
  const body = "{}";
  const hash = createHash("sha256").update(body).digest("hex");
  await paid({ statusCallback: here.case.url(`status?bodySHA256=${hash}`), statusCallbackMethod: "GET" });
  const request = here.case.requests.items.find((one) => one.path === "status");
  const signature = request.headers["x-twilio-signature"];
  assert.ok(twilio.validateRequestWithBody("test-auth-token", signature, request.url, body));
  assert.ok(!twilio.validateRequestWithBody("test-auth-token", signature, request.url, "{ }"));
});
