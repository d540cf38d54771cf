'use strict'
// A judgement that cannot fail would make the whole matrix worthless: `node --test`.

const assert = require('assert')
const { test } = require('node:test')

const { Tally, make } = require('./records')

const records = make('test', 20)
const altered = (n, change) => records.map((record, i) => (i === n ? { ...record, ...change } : record))
const flipped = Buffer.from(records[1].value)
flipped[0] ^= 1

const wrong = {
    missing: records.slice(1),
    repeated: [records[3], ...records],
    value: altered(1, { value: flipped }),
    key: altered(0, { key: Buffer.alloc(0) }), // it has none, which is not the same as an empty one
    headers: altered(5, { headers: {} }),
    partition: altered(2, { partition: 1 }),
}

function judge(read, once) {
    const tally = new Tally()
    tally.expect(records)
    read.forEach(record => tally.take(record))
    tally.judge(once)
}

test('what came is what was sent', () => {
    judge([...records].reverse(), true)
    judge(wrong.repeated, false)
})

for (const [name, read] of Object.entries(wrong)) {
    test(`a wrong ${name} is found`, () => assert.throws(() => judge(read, true)))
}
