'use strict'
// What the driver does for each name of the matrix.

const { PARTITIONS, Tally, anyNoise, ends, isEnd, make, noise, text } = require('./records')

const SENT = 300 // records of an ordinary exercise
const COMPRESSED = 200
const LARGEST = 20 << 20 // bytes of the largest value
const INPUT = 30 // records that a transaction consumes
const ROUND = 120 // records, 40 for each partition
const CHANGED = { key: 'retention.ms', value: '123456789' }

/** One exercise under way. */
class Run {
    constructor(lib, prefix, name) {
        this.lib = lib
        this.name = name
        this.topic = `${prefix}-${name}` // of its group and its transactional id as well
        this.stage = 'beginning'
        this.over = false // its time is up
        this.tally = null // of the comparison under way
    }

    /** Every client.id begins with the prefix, so that its connections can be recognised. */
    client(role) {
        return `${this.topic}-${role}`
    }

    async until(what, condition) {
        this.stage = what
        while (!(await condition())) {
            if (this.over) {
                throw new Error(`${what}: too late`)
            }
            await new Promise(resolve => setTimeout(resolve, 20))
        }
    }

    send(sending, ...rounds) {
        this.stage = 'producing'
        const plain = { topic: this.topic, acks: -1, idempotent: false, codec: 'none' }
        return this.lib.produce({ clientId: this.client('producer'), ...plain, ...sending }, ...rounds)
    }

    /** Reads the topic up to the last of its ends and judges all before it. */
    async compare(committedOnly, ...expected) {
        this.stage = committedOnly ? 'reading what is committed' : 'reading back'
        const tally = (this.tally = new Tally())
        expected.forEach(records => tally.expect(records))
        const ended = new Set()
        const role = committedOnly ? 'committed-reader' : 'reader'
        await this.lib.read(this.client(role), this.topic, committedOnly, record => {
            if (isEnd(record)) {
                ended.add(record.partition)
            } else {
                tally.take(record)
            }
            return ended.size < PARTITIONS
        })
        this.tally = null
        tally.judge()
    }

    async withAdmin(work) {
        const admin = await this.lib.admin(this.client('admin'))
        try {
            return await work(admin)
        } finally {
            await admin.close()
        }
    }

    /** Checks the committed offset of the exercise's group in each partition; 0 stands for none. */
    committed(expected) {
        this.stage = 'the committed offsets'
        return this.withAdmin(async admin => everywhere(await admin.committed(this.topic, this.topic), expected))
    }
}

/** Each partition has this offset; 0 stands for none as well. */
function everywhere(offsets, expected) {
    for (let p = 0; p < PARTITIONS; p++) {
        if ((offsets[p] || 0) !== expected) {
            throw new Error(`${JSON.stringify(offsets)} where each should be ${expected}`)
        }
    }
}

/** Sends records and compares what is read back, each once. */
function roundTrip(sending, count, value = anyNoise) {
    return async run => {
        const records = make(run.name, count, value)
        await run.send(sending, records, ends())
        await run.compare(false, records)
        return `${count} records`
    }
}

/**
 * Consumes, produces and ends in one transaction, and then commits another that tells readers that they have passed.
 * What an aborted transaction wrote is there for those who read everything, and only for them.
 */
function transact(commit) {
    return async run => {
        const inputs = make(`${run.name}-in`, INPUT)
        const outputs = make(`${run.name}-out`, SENT)
        await run.send({}, inputs)
        run.stage = 'opening a transactional producer'
        const transactor = await run.lib.transactor(run.client('transactor'), run.topic, run.topic, run.topic)
        try {
            await run.until('consuming', () => transactor.consumed === INPUT)
            run.stage = 'the transaction'
            await transactor.run(true, outputs, commit)
            run.stage = 'the transaction that marks the end'
            await transactor.run(false, ends(), true)
        } finally {
            await transactor.close()
        }
        if (!commit) {
            await run.compare(false, inputs, outputs)
        }
        await run.compare(true, inputs, commit ? outputs : [])
        await run.committed(commit ? INPUT / PARTITIONS : 0)
        return `${SENT} records ${commit ? 'committed' : 'aborted'}, with the offsets of ${INPUT}`
    }
}

/** Both hold something, and together each partition once. */
function halves(a, b) {
    return a.length > 0 && b.length > 0 && [...a, ...b].sort().join() === '0,1,2'
}

/** A member with the partitions that it has read from. */
async function attend(run, role, tally) {
    run.stage = `the ${role} joining`
    const partitions = new Set()
    const member = await run.lib.join(run.client(role), run.topic, run.topic, record => {
        tally.take(record)
        partitions.add(record.partition)
    })
    return Object.assign(member, { partitions })
}

/** Sends another round and waits until the group has read everything so far. */
async function all(run, tally, which) {
    const records = make(`${run.name}-${which}`, ROUND)
    tally.expect(records)
    await run.send({}, records)
    await run.until(`reading the ${which} records`, () => tally.missing === 0)
}

/**
 * Moves every partition from the first member of a group to the second, in two steps: the second joins, then the
 * first leaves. Records are sent in each state; all must be read, and all offsets be committed at the end.
 */
async function rebalance(run) {
    const tally = new Tally()
    const present = new Set()
    const leave = member => present.delete(member) && member.leave()
    try {
        const first = await attend(run, 'first', tally)
        present.add(first)
        await all(run, tally, 'early')
        const second = await attend(run, 'second', tally)
        present.add(second)
        await run.until('sharing the partitions', () => halves(first.assigned, second.assigned))
        await all(run, tally, 'shared')
        run.stage = 'the first leaving'
        await leave(first)
        await run.until('the second taking over', () => second.assigned.length === PARTITIONS)
        await all(run, tally, 'late')
        run.stage = 'the second leaving'
        await leave(second)
        if (second.partitions.size !== PARTITIONS) {
            throw new Error(`the second read only ${second.partitions.size} partitions`)
        }
    } finally {
        for (const member of present) {
            await leave(member)
        }
    }
    tally.judge(false)
    await run.committed((3 * ROUND) / PARTITIONS)
    return `${3 * ROUND} records, ${PARTITIONS} partitions moved`
}

/** Has a member read the new topic, and looks at its group while it is there and when it has left. */
async function watchGroup(run, admin, made) {
    const records = make(run.name, INPUT)
    const tally = new Tally()
    tally.expect(records)
    await run.send({ topic: made }, records)
    run.stage = 'listing offsets'
    everywhere(await admin.endOffsets(made), INPUT / PARTITIONS)
    run.stage = 'joining'
    const member = await run.lib.join(run.client('member'), run.topic, made, record => tally.take(record))
    try {
        await run.until('reading', () => tally.missing === 0)
        run.stage = 'describing the group'
        const { state, members } = await admin.group(run.topic)
        if (state !== 'Stable' || members.join() !== run.client('member')) {
            throw new Error(`the group is ${state} with ${members}`)
        }
        run.stage = 'listing groups'
        if (!(await admin.groups()).includes(run.topic)) {
            throw new Error('the group is not listed')
        }
    } finally {
        await member.leave()
    }
    tally.judge(false)
    run.stage = 'listing committed offsets'
    everywhere(await admin.committed(run.topic, made), INPUT / PARTITIONS)
}

/** Makes a topic and looks at it from every side, with a group that reads it; then removes the topic. */
function administer(run) {
    const made = `${run.topic}-made`
    return run.withAdmin(async admin => {
        run.stage = 'creating a topic'
        await admin.createTopic(made, PARTITIONS)
        await run.until('describing the topic', async () => (await admin.topic(made)) === PARTITIONS)
        run.stage = 'describing a configuration'
        const before = await admin.config(made, CHANGED.key)
        if (!before || before === CHANGED.value) {
            throw new Error(`${CHANGED.key} was ${before}`)
        }
        run.stage = 'altering a configuration'
        await admin.setConfig(made, CHANGED.key, CHANGED.value)
        const changed = async () => (await admin.config(made, CHANGED.key)) === CHANGED.value
        await run.until('seeing the altered configuration', changed)
        await watchGroup(run, admin, made)
        run.stage = 'deleting the topic'
        await admin.deleteTopic(made)
        await run.until('the topic being gone', async () => (await admin.topic(made)) === 0)
        return 'topic made, described, configured (not incrementally: the library lacks it) and deleted; ' +
            'offsets and group listed and described'
    })
}

const EXERCISES = {
    acks_0: roundTrip({ acks: 0 }, SENT),
    acks_1: roundTrip({ acks: 1 }, SENT),
    acks_all: roundTrip({}, SENT),
    idempotent: roundTrip({ idempotent: true }, SENT),
    txn_commit: transact(true),
    txn_abort: transact(false),
    size_1b: roundTrip({}, SENT, name => noise(name, 1)),
    size_20mib: roundTrip({}, 1, name => noise(name, LARGEST)),
    group_classic: rebalance,
    admin: administer,
}
for (const codec of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
    EXERCISES[`codec_${codec}`] = roundTrip({ codec }, COMPRESSED, text)
}

module.exports = { EXERCISES, Run }
