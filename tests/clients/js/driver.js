'use strict'
// The KafkaJS driver of the client matrix: performs exercises and prints a line of JSON for each.
//
//     node driver.js --bootstrap HOST:PORT --prefix P EXERCISE...
//     node driver.js --steady SPEC.json ACKS.bin      (steady.js)
//     node driver.js --version
//
// exercises.js says what is done, records.js what is sent and how it is compared, library.js how KafkaJS does it.
// An exercise that does not end in time is reported as failed with what it was doing, and the next one begins.

const { ABSENT, Library, version } = require('./library')
const { EXERCISES, Run } = require('./exercises')
const { steadily } = require('./steady')

const DEADLINE_MS = 55000 // the harness gives an exercise 60 s

async function perform(lib, prefix, name) {
    const run = new Run(lib, prefix, name)
    let timer
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => {
            run.over = true
            reject(new Error(`timeout after ${DEADLINE_MS / 1000} s`))
        }, DEADLINE_MS)
    })
    try {
        return { result: 'ok', detail: await Promise.race([EXERCISES[name](run), late]) }
    } catch (error) {
        const missing = run.tally ? ` (${run.tally.missing} records missing)` : ''
        return { result: 'failed', detail: `${run.stage}: ${error.message}${missing}`.replace(/\n/g, '; ') }
    } finally {
        clearTimeout(timer)
    }
}

async function attempt(lib, prefix, name) {
    if (ABSENT[name]) {
        return { result: 'absent', detail: ABSENT[name] }
    }
    return EXERCISES[name] ? perform(lib, prefix, name) : { result: 'failed', detail: 'no exercise of this name' }
}

async function main(args) {
    if (args[0] === '--version') {
        console.log(version())
        return
    }
    if (args[0] === '--steady' && args.length === 3) {
        await steadily(flow => new Library(flow.bootstrap).pipe(flow), args[1], args[2])
        process.exit(0)
    }
    const [bootstrapFlag, bootstrap, prefixFlag, prefix, ...names] = args
    if (bootstrapFlag !== '--bootstrap' || prefixFlag !== '--prefix' || names.length === 0) {
        console.error('usage: driver.js --bootstrap HOST:PORT --prefix P EXERCISE...')
        process.exitCode = 2
        return
    }
    const lib = new Library(bootstrap)
    for (const name of names) {
        const begun = process.hrtime.bigint()
        const outcome = await attempt(lib, prefix, name)
        const seconds = Number((process.hrtime.bigint() - begun) / 10000000n) / 100
        const line = JSON.stringify({ exercise: name, ...outcome, seconds })
        await new Promise(resolve => process.stdout.write(`${line}\n`, resolve))
    }
    process.exit(0) // what an exercise left behind must not keep the driver
}

// KafkaJS restarts crashed consumers in the background; their errors belong to the exercise that waits for them.
process.on('unhandledRejection', error => console.error(error))

main(process.argv.slice(2))
