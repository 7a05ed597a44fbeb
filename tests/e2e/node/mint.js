// One JSON job a line in: {alg, kid, key, claims}; one JSON line out for each: {alg, token}.
'use strict'

const { importJWK, SignJWT } = require('jose')
const readline = require('node:readline')

async function main () {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (!line.trim()) continue
    const job = JSON.parse(line)
    const key = await importJWK(job.key, job.alg)
    const header = { alg: job.alg, typ: 'JWT', kid: job.kid }
    const token = await new SignJWT(job.claims).setProtectedHeader(header).sign(key)
    console.log(JSON.stringify({ alg: job.alg, token }))
  }
}

main().catch((err) => { console.error(err); process.exit(1) })
