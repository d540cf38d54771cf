'use strict'
// Records as they are sent, and the comparison with what is read back.

const { createCipheriv, createHash } = require('crypto')

const PARTITIONS = 3 // of every topic that the harness makes

/** Random bytes, the same on every run for the same name. */
function noise(name, length) {
    const key = createHash('sha256').update(name).digest()
    return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length))
}

/** A value of up to 1000 random bytes. */
function anyNoise(name) {
    return noise(name, 1 + (noise(`${name} length`, 2).readUInt16BE() % 1000))
}

/** A value that compresses well. */
function text(name) {
    return Buffer.from(`${noise(name, 8).toString('hex')} ${'water is held back, and let go; '.repeat(40)}`)
}

/** Records spread over the partitions; some have no key, some have headers. */
function make(name, count, value = anyNoise) {
    return Array.from({ length: count }, (_, n) => ({
        partition: n % PARTITIONS,
        key: n % 7 === 0 ? null : Buffer.from(`${name}-${n}`),
        value: value(`${name}-${n}`),
        headers: n % 5 === 0 ? { number: Buffer.from(`${n}`), bytes: noise(`${name}-${n} header`, 16) } : {},
    }))
}

/** One record for each partition that tells a reader that it has seen all before it. */
function ends() {
    return Array.from({ length: PARTITIONS }, (_, partition) => ({
        partition, key: Buffer.from('end'), value: Buffer.from('end of the exercise'), headers: {},
    }))
}

function isEnd(record) {
    return record.key !== null && record.key.equals(Buffer.from('end'))
}

/** A digest of everything that must come back unchanged; null differs from empty. */
function identity(record) {
    const hash = createHash('sha256')
    const add = bytes => hash.update(bytes === null ? 'null ' : `${bytes.length} `).update(bytes === null ? '' : bytes)
    hash.update(`${record.partition} `)
    add(record.key)
    add(record.value)
    for (const [key, value] of Object.entries(record.headers)) {
        add(Buffer.from(key))
        add(value)
    }
    return hash.digest('base64')
}

/** Compares what is read with what was sent. */
class Tally {
    constructor() {
        this.open = new Map() // by identity: how often it is still to come
        this.missing = 0
        this.repeated = 0 // sent, and read more often than that
        this.alien = 0 // never sent
    }

    expect(records) {
        for (const record of records) {
            const id = identity(record)
            this.open.set(id, (this.open.get(id) || 0) + 1)
        }
        this.missing += records.length
    }

    take(record) {
        const id = identity(record)
        const left = this.open.get(id)
        if (left > 0) {
            this.open.set(id, left - 1)
            this.missing--
        } else if (left === 0) {
            this.repeated++
        } else {
            this.alien++
        }
    }

    /** Throws unless everything came; `once` forbids repetitions too. */
    judge(once = true) {
        if (this.missing > 0 || this.alien > 0 || (once && this.repeated > 0)) {
            throw new Error(`${this.missing} records missing, ${this.repeated} repeated, ${this.alien} never sent`)
        }
    }
}

module.exports = { PARTITIONS, Tally, anyNoise, ends, isEnd, make, noise, text }
