'use strict'
// KafkaJS, in the words that the exercises use.

const lz4 = require('lz4-napi')
const snappy = require('kafkajs-snappy')
const zstd = require('@bokuweb/zstd-wasm')
const kafkajs = require('kafkajs')

const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, Partitioners } = kafkajs

// Members look for a rebalance often, so that an exercise is short; the defaults are 3 s and 5 s.
const HEARTBEAT_MS = 500
const FETCH_WAIT_MS = 500

// KafkaJS itself has gzip only. None of these needs a compiler. Kafka wants LZ4 frames of independent blocks.
const zstdReady = zstd.init()
CompressionCodecs[CompressionTypes.Snappy] = snappy
CompressionCodecs[CompressionTypes.LZ4] = () => ({
    compress: encoder => lz4.compressFrame(encoder.buffer),
    decompress: buffer => lz4.decompressFrame(buffer),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
    compress: encoder => zstdReady.then(() => Buffer.from(zstd.compress(encoder.buffer))),
    decompress: buffer => zstdReady.then(() => Buffer.from(zstd.decompress(buffer))),
})

const CODECS = {
    none: CompressionTypes.None,
    gzip: CompressionTypes.GZIP,
    snappy: CompressionTypes.Snappy,
    lz4: CompressionTypes.LZ4,
    zstd: CompressionTypes.ZSTD,
}

const ABSENT = {
    group_consumer: 'its consumer groups have the classic protocol only',
    group_share: 'no share consumer',
    streams_eos: 'Kafka Streams is a Java library',
}

function version() {
    return `kafkajs ${require('kafkajs/package.json').version}`
}

/** Standard output is for reports. */
function logToStderr() {
    return ({ label, log }) => process.stderr.write(`${label} ${JSON.stringify(log)}\n`)
}

function incoming(partition, message) {
    return { partition, key: message.key, value: message.value, headers: message.headers || {} }
}

/** A member of a group; it reads in the background, from the earliest record on, until it leaves. */
class Member {
    constructor(consumer) {
        this.consumer = consumer
        this.assigned = []
        this.failure = null
    }

    async start(topic, autoCommit, got) {
        const { GROUP_JOIN, REBALANCING, CRASH } = this.consumer.events
        this.consumer.on(GROUP_JOIN, event => (this.assigned = event.payload.memberAssignment[topic] || []))
        this.consumer.on(REBALANCING, () => (this.assigned = []))
        this.consumer.on(CRASH, event => (this.failure = this.failure || event.payload.error))
        await this.consumer.connect()
        await this.consumer.subscribe({ topics: [topic], fromBeginning: true })
        await this.consumer.run({
            autoCommit,
            eachMessage: async ({ partition, message }) => got(incoming(partition, message), message.offset),
        })
    }

    /** KafkaJS commits after each batch, so nothing is left to be committed. */
    async leave() {
        await this.consumer.disconnect()
        if (this.failure) {
            throw this.failure
        }
    }
}

/** A transactional producer, and a member that reads what goes into the transaction. */
class Transactor {
    constructor(producer, group, topic) {
        Object.assign(this, { producer, group, topic, consumed: 0, next: new Map(), member: null })
    }

    note(partition, offset) {
        this.consumed++
        this.next.set(partition, (BigInt(offset) + 1n).toString())
    }

    async run(offsetsToo, records, commit) {
        const transaction = await this.producer.transaction()
        await transaction.send({ topic: this.topic, messages: records })
        if (offsetsToo) {
            const partitions = [...this.next].map(([partition, offset]) => ({ partition, offset }))
            await transaction.sendOffsets({
                consumerGroupId: this.group, topics: [{ topic: this.topic, partitions }],
            })
        }
        await (commit ? transaction.commit() : transaction.abort())
    }

    async close() {
        await this.member.leave()
        await this.producer.disconnect()
    }
}

class Admin {
    constructor(admin) {
        this.admin = admin
    }

    createTopic(topic, partitions) {
        return this.admin.createTopics({ topics: [{ topic, numPartitions: partitions, replicationFactor: 1 }] })
    }

    /** The number of partitions; 0 if there is no such topic. */
    async topic(topic) {
        if (!(await this.admin.listTopics()).includes(topic)) {
            return 0
        }
        return (await this.admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length
    }

    deleteTopic(topic) {
        return this.admin.deleteTopics({ topics: [topic] })
    }

    async config(topic, key) {
        const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: [key] }]
        const described = await this.admin.describeConfigs({ includeSynonyms: false, resources })
        return described.resources[0].configEntries[0].configValue
    }

    setConfig(topic, name, value) {
        const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name, value }] }]
        return this.admin.alterConfigs({ validateOnly: false, resources })
    }

    async endOffsets(topic) {
        const offsets = await this.admin.fetchTopicOffsets(topic)
        return Object.fromEntries(offsets.map(({ partition, high }) => [partition, Number(high)]))
    }

    async groups() {
        return (await this.admin.listGroups()).groups.map(group => group.groupId)
    }

    async group(id) {
        const { state, members } = (await this.admin.describeGroups([id])).groups[0]
        return { state, members: members.map(member => member.clientId) }
    }

    /** The offsets of the partitions that have one. */
    async committed(group, topic) {
        const [{ partitions }] = await this.admin.fetchOffsets({ groupId: group, topics: [topic] })
        return Object.fromEntries(partitions.filter(({ offset }) => offset !== '-1')
            .map(({ partition, offset }) => [partition, Number(offset)]))
    }

    close() {
        return this.admin.disconnect()
    }
}

/** Everything of a library that the exercises need. */
class Library {
    constructor(bootstrap) {
        this.bootstrap = bootstrap
    }

    kafka(clientId) {
        return new Kafka({
            clientId, brokers: [this.bootstrap], logCreator: logToStderr, logLevel: kafkajs.logLevel.WARN,
        })
    }

    /** Sends each round and waits for its acknowledgements before the next. */
    async produce({ clientId, topic, acks, idempotent, codec }, ...rounds) {
        const producer = this.kafka(clientId).producer({
            idempotent, allowAutoTopicCreation: false, createPartitioner: Partitioners.DefaultPartitioner,
        })
        await producer.connect()
        try {
            for (const messages of rounds) {
                await producer.send({ topic, acks, compression: CODECS[codec], messages })
            }
        } finally {
            await producer.disconnect()
        }
    }

    /** A steady producer, as steady.js wants it. */
    pipe({ client_id: clientId, idempotence }) {
        const producer = this.kafka(clientId).producer({
            idempotent: idempotence, allowAutoTopicCreation: false, createPartitioner: Partitioners.DefaultPartitioner,
        })
        return {
            connect: () => producer.connect(),
            disconnect: () => producer.disconnect(),
            send: (topic, { acks, codec }, messages) => producer.send({
                topic, messages, acks: acks === 'all' ? -1 : Number(acks), compression: CODECS[codec || 'none'],
            }),
        }
    }

    /** Gives all records of a topic from the first one on, until take returns false. Only groups can read. */
    async read(clientId, topic, committedOnly, take) {
        const member = this.member(clientId, clientId, !committedOnly)
        let enough
        const all = new Promise((resolve, reject) => {
            enough = resolve
            member.consumer.on(member.consumer.events.CRASH, event => reject(event.payload.error))
        })
        let more = true
        await member.start(topic, false, record => {
            more = more && take(record)
            if (!more) {
                enough()
            }
        })
        await all
        await member.leave()
    }

    member(clientId, groupId, readUncommitted = false) {
        return new Member(this.kafka(clientId).consumer({
            groupId, readUncommitted, heartbeatInterval: HEARTBEAT_MS, maxWaitTimeInMs: FETCH_WAIT_MS,
        }))
    }

    async join(clientId, group, topic, got) {
        const member = this.member(clientId, group)
        await member.start(topic, true, got)
        return member
    }

    async transactor(clientId, group, topic, transactionalId) {
        const producer = this.kafka(clientId).producer({
            transactionalId, idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: false,
            createPartitioner: Partitioners.DefaultPartitioner,
        })
        await producer.connect()
        const transactor = new Transactor(producer, group, topic)
        transactor.member = this.member(clientId, group)
        await transactor.member.start(topic, false, (record, offset) => transactor.note(record.partition, offset))
        return transactor
    }

    async admin(clientId) {
        const admin = this.kafka(clientId).admin()
        await admin.connect()
        return new Admin(admin)
    }
}

module.exports = { ABSENT, Library, version }
