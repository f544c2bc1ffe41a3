// Holds recorded requests against Stripe's published OpenAPI description, as JSON Schema.
//
//   node requests.mjs TOOLS RECORDED
//
// TOOLS is the folder of tests/stripe/install; RECORDED has one JSON object a line: method, path, query, body.
// The description is of about mid 2023, refuses unknown fields at the top, and is made to refuse them further down too.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const [tools, recorded] = process.argv.slice(2).map((name) => path.resolve(name));
const require = createRequire(path.join(tools, 'node', 'package.json'));
const Ajv = require('ajv').default;
const description = JSON.parse(fs.readFileSync(path.join(tools, 'node', 'stripe.json'), 'utf8'));

// Newer than the description, or never in it: Stripe's page "Mail order telephone order (MOTO)".
const ELSEWHERE = [{ at: ['payment_method_options', 'card', 'moto'], schema: { type: 'boolean' } }];

const ajv = new Ajv({ strict: false, validateFormats: false, coerceTypes: true, allErrors: true });

/** The schema with every object closed to fields it does not name. */
function closed(schema) {
  if (Array.isArray(schema)) return schema.map(closed);
  if (schema === null || typeof schema !== 'object') return schema;
  const copy = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, closed(value)]));
  if (copy.type === 'object' && copy.properties && copy.additionalProperties === undefined) {
    copy.additionalProperties = false;
  }
  return copy;
}

/** `a[b][]=c` as {a: {b: ['c']}}. A name twice is an error, unless it is a list's. */
function nested(form) {
  const tree = {};
  for (const [name, value] of new URLSearchParams(form)) {
    const keys = [name.split('[')[0], ...[...name.matchAll(/\[([^\]]*)\]/g)].map((match) => match[1])];
    assert.equal(name, keys[0] + keys.slice(1).map((key) => `[${key}]`).join(''), `odd name ${name}`);
    let place = tree;
    keys.forEach((key, depth) => {
      const last = depth === keys.length - 1;
      if (key === '') {
        assert.ok(last, `a list of objects: ${name}`);
        place.push(value);
      } else if (last) {
        assert.ok(!(key in place), `${name} stands twice`);
        place[key] = value;
      } else {
        place[key] ??= keys[depth + 1] === '' ? [] : {};
        place = place[key];
      }
    });
  }
  return tree;
}

/** Takes out what is checked by a schema of its own. */
function withoutElsewhere(tree) {
  for (const { at, schema } of ELSEWHERE) {
    const parents = at.slice(0, -1).reduce((places, key) => [...places, places.at(-1)?.[key]], [tree]);
    const parent = parents.at(-1);
    const name = at.at(-1);
    if (parent && name in parent) {
      assert.ok(ajv.validate({ type: 'object', properties: { [name]: schema } }, { [name]: parent[name] }), at.join('.'));
      delete parent[name];
    }
  }
  return tree;
}

function operation(method, wanted) {
  const fits = (template) => new RegExp(`^${template.replace(/\{[^}]+\}/g, '[^/]+')}$`).test(wanted);
  const template = Object.keys(description.paths).find(fits);
  assert.ok(template, `Stripe has no ${wanted}`);
  const found = description.paths[template][method.toLowerCase()];
  assert.ok(found, `Stripe has no ${method} ${wanted}`);
  return found;
}

function schemaOf(method, wanted) {
  const { parameters = [], requestBody } = operation(method, wanted);
  if (method === 'POST') return closed(requestBody.content['application/x-www-form-urlencoded'].schema);
  const query = parameters.filter((parameter) => parameter.in === 'query');
  return {
    type: 'object',
    properties: Object.fromEntries(query.map((parameter) => [parameter.name, closed(parameter.schema)])),
    additionalProperties: false,
  };
}

const lines = fs.readFileSync(recorded, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
assert.ok(lines.length > 0, 'nothing was recorded');
let failed = 0;
for (const { method, path: wanted, query, body } of lines) {
  try {
    const validate = ajv.compile(schemaOf(method, wanted));
    const form = () => withoutElsewhere(nested(method === 'POST' ? body : query));
    assert.ok(validate(form()), ajv.errorsText(validate.errors));
    // A schema that lets everything pass would prove nothing.
    assert.ok(!validate({ ...form(), unheard_of: '1' }), 'an unknown field passes');
    for (const [name, value] of Object.entries(form())) {
      if (name !== 'metadata' && typeof value === 'object' && !Array.isArray(value)) {
        assert.ok(!validate({ ...form(), [name]: { ...value, unheard_of: '1' } }), `an unknown field of ${name} passes`);
      }
    }
  } catch (error) {
    failed += 1;
    // Names only: the bodies hold test card numbers, and nobody should get used to seeing them.
    console.error(`${method} ${wanted}: ${error.message}`);
  }
}
console.log(`${lines.length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
