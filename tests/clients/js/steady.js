'use strict'
// Steady producing: driver.js --steady SPEC.json ACKS.bin, with the files and lines of tests/java/ProducerLoad.java,
// which says what they hold. Producers keep going through errors until they are told to stop.
//
// KafkaJS sends what one call is given in one request for each broker, so a stream makes a call every so often with all
// records that are due.

const { createWriteStream, readFileSync } = require('fs')
const { createInterface } = require('readline')

const VALUE_HEAD = 20 // origin, number, milliseconds
const ACK = 36
const ERRORS_SHOWN = 100
const TICK_MS = 50 // unless linger.ms says otherwise
const CATCH_UP_MS = 1000
const FAILED = -2n // in the place of an offset

class Stream {
    constructor(spec) {
        Object.assign(this, { partitions: 0, keys: 0 }, spec, { sent: 0, acked: 0, errors: 0, slowest: 0 })
        this.due = Date.now()
    }

    /** The records that are due; they know their numbers. */
    take(now) {
        this.due = Math.max(this.due, now - CATCH_UP_MS)
        const messages = []
        while (this.due <= now) {
            const number = this.sent++
            const value = Buffer.alloc(Math.max(this.size, VALUE_HEAD))
            value.writeInt32BE(this.origin, 0)
            value.writeBigInt64BE(BigInt(number), 4)
            value.writeBigInt64BE(BigInt(now), 12)
            const key = this.keys ? Buffer.from(`key-${number % this.keys}`) : null
            messages.push({ key, value, number, ...(this.partitions ? { partition: number % this.partitions } : {}) })
            this.due += this.rate ? 1000 / this.rate : 0.1
        }
        return messages
    }

    status() {
        const { sent, acked, errors, slowest } = this
        this.slowest = 0
        return { sent, acked, errors, slowest_ms: slowest }
    }
}

class Steady {
    constructor(open, spec, acks) {
        Object.assign(this, { open, acks, stopping: false, failures: {}, clients: {} })
        this.flows = spec.producers.map(flow => ({ ...flow, streams: flow.streams.map(one => new Stream(one)) }))
    }

    say(line) {
        process.stdout.write(`${JSON.stringify({ ...line, t: Date.now() })}\n`)
    }

    status() {
        return Object.fromEntries(this.flows.flatMap(({ streams }) => streams.map(one => [one.origin, one.status()])))
    }

    done(stream, number, begun, partition, offset) {
        const now = Date.now()
        const row = Buffer.alloc(ACK)
        row.writeInt32BE(stream.origin, 0)
        row.writeBigInt64BE(BigInt(number), 4)
        row.writeInt32BE(partition, 12)
        row.writeBigInt64BE(offset, 16)
        row.writeBigInt64BE(BigInt(now), 24)
        row.writeInt32BE(now - begun, 32)
        this.acks.write(row)
        if (offset !== FAILED) {
            stream.acked++
            stream.slowest = Math.max(stream.slowest, now - begun)
        }
    }

    failed(stream, messages, begun, error) {
        for (const { number, partition } of messages) {
            if (stream.errors++ < ERRORS_SHOWN) {
                this.say({ error: error.message, origin: stream.origin, seq: number })
            }
            this.failures[error.message] = (this.failures[error.message] || 0) + 1
            this.done(stream, number, begun, partition === undefined ? -1 : partition, FAILED)
        }
    }

    /** One call. Its answer names a base offset for each partition; without acknowledgements there is none. */
    async send(producer, flow, stream, messages) {
        const begun = Date.now()
        try {
            const answers = await producer.send(stream.topic, flow, messages)
            const next = new Map((answers || []).map(one => [one.partition, BigInt(one.baseOffset)]))
            for (const { number, partition } of messages) {
                const offset = next.get(partition)
                if (offset !== undefined) {
                    next.set(partition, offset + 1n)
                }
                this.done(stream, number, begun, partition === undefined ? -1 : partition, offset || -1n)
            }
        } catch (error) {
            this.failed(stream, messages, begun, error)
        }
    }

    async flow(flow) {
        const producer = this.open(flow)
        const calls = new Set()
        try {
            await producer.connect()
            flow.streams.forEach(stream => (stream.due = Date.now()))
            while (!this.stopping) {
                for (const stream of flow.streams) {
                    const messages = stream.take(Date.now())
                    if (messages.length > 0) {
                        const call = this.send(producer, flow, stream, messages)
                        calls.add(call)
                        call.then(() => calls.delete(call))
                    }
                }
                await new Promise(resolve => setTimeout(resolve, Number(flow.props['linger.ms'] || TICK_MS)))
            }
            await Promise.all(calls)
            await producer.disconnect()
            this.clients[flow.client_id] = { throttled_ms: -1 }
        } catch (error) {
            this.say({ client_error: error.message, client: flow.client_id })
            this.clients[flow.client_id] = { fatal: error.message }
        }
    }

    async run() {
        createInterface({ input: process.stdin })
            .on('line', line => (this.stopping = this.stopping || line === 'stop'))
            .on('close', () => (this.stopping = true))
        const ticks = setInterval(() => this.say({ streams: this.status() }), 1000)
        await Promise.all(this.flows.map(flow => this.flow(flow)))
        clearInterval(ticks)
        await new Promise(resolve => this.acks.end(resolve))
        this.say({ streams: this.status(), final: true, clients: this.clients, failures: this.failures })
    }
}

/** open(flow) gives something with connect(), send(topic, flow, messages) and disconnect(). */
function steadily(open, specPath, acksPath) {
    return new Steady(open, JSON.parse(readFileSync(specPath)), createWriteStream(acksPath)).run()
}

module.exports = { steadily }
