// An OpenID provider for the tests: oidc-provider, with users who log in and consent by themselves.
//
// The first line on stdin is a JSON object with "issuer" (without it: the URL) and "access_token_ttl" (seconds), or neither; its answer
// has "url" and "issuer". Each further line is a command, and each gets one line of JSON on stdout. The process ends when stdin does, so it never outlives the test that started it.
//
//   {"client": {...}}     add a client. Beside the registered metadata: rotate_refresh_token false (the refresh token stays the same),
//                         keeps_rotated true (a new refresh token is handed out, and the one before goes on working)
//   {"take": "requests"}  the token requests since the last call: [{grant_type, refresh_token, status}]
//   {"take": "logouts"}   the back-channel logouts since the last call: [{client_id, sub, sid, error}]
import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'

import Provider from 'oidc-provider'

const RESOURCE = 'https://app.test/'
const stored = new Map()
const members = new Map() // grant -> keys of what came of it
const seen = { requests: [], logouts: [] }

// Kept in memory: what this process forgets at its end nobody asks for again.
class Memory {
  constructor (model) {
    this.model = model
  }

  key (id) {
    return `${this.model} ${id}`
  }

  async upsert (id, payload) {
    stored.set(this.key(id), payload)
    if (payload.uid) stored.set(`uid ${payload.uid}`, id)
    if (payload.grantId) {
      if (!members.has(payload.grantId)) members.set(payload.grantId, new Set())
      members.get(payload.grantId).add(this.key(id))
    }
  }

  async find (id) {
    return stored.get(this.key(id))
  }

  async findByUid (uid) {
    return this.find(stored.get(`uid ${uid}`))
  }

  async consume (id) {
    const payload = stored.get(this.key(id))
    const client = stored.get(`Client ${payload.clientId}`)
    if (!(this.model === 'RefreshToken' && client.keeps_rotated)) payload.consumed = Math.floor(Date.now() / 1000)
  }

  async destroy (id) {
    stored.delete(this.key(id))
  }

  async revokeByGrantId (grantId) {
    for (const key of members.get(grantId) ?? []) stored.delete(key)
    members.delete(grantId)
  }
}

function signingKeys () {
  const jwk = (kid, type, options) => ({ ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), kid, use: 'sig' })
  return { keys: [jwk('rs', 'rsa', { modulusLength: 2048 }), jwk('es', 'ec', { namedCurve: 'P-256' })] }
}

// Whoever logs in has agreed to everything that is asked for.
async function loadExistingGrant (ctx) {
  const { client, session, params } = ctx.oidc
  const known = session.grantIdFor(client.clientId)
  const grant = (known && await ctx.oidc.provider.Grant.find(known)) ||
    new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId })
  grant.addOIDCScope(params.scope)
  grant.addResourceScope(RESOURCE, params.scope)
  await grant.save()
  return grant
}

function configuration (options) {
  const ttl = options.access_token_ttl ?? 3600
  return {
    adapter: Memory,
    jwks: signingKeys(),
    cookies: { keys: ['the key of a test'] },
    extraClientMetadata: { properties: ['rotate_refresh_token', 'keeps_rotated', 'access_token_alg'] },
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      rpInitiatedLogout: { enabled: true, logoutSource: (ctx, form) => { ctx.body = form }, postLogoutSuccessSource: (ctx) => { ctx.body = 'bye' } },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource, client) => ({
          scope: 'openid read write',
          audience: 'legacy-app',
          accessTokenTTL: ttl,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: client.access_token_alg ?? 'RS256' } }
        })
      }
    },
    scopes: ['openid', 'offline_access', 'read', 'write'],
    extraTokenClaims: (ctx, token) => token.sid ? { sid: token.sid } : undefined,
    issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: (ctx) => ctx.oidc.client.rotate_refresh_token !== false,
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    clientBasedCORS: () => false,
    pkce: { required: () => true },
    ttl: { AccessToken: ttl, ClientCredentials: ttl, Grant: 86400, IdToken: 3600, Interaction: 600, RefreshToken: 86400, Session: 86400 },
    renderError: (ctx, out, error) => { ctx.body = { ...out, detail: error.stack } },
    interactions: { url: (ctx, interaction) => `/login/${interaction.uid}` },
    loadExistingGrant
  }
}

// login_hint says who is sitting there.
async function login (ctx, provider) {
  const { params } = await provider.interactionDetails(ctx.req, ctx.res)
  ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, { login: { accountId: params.login_hint } }))
}

async function observe (ctx, next) {
  try {
    await next()
  } finally {
    if (ctx.path === '/token') {
      const { grant_type, refresh_token } = ctx.oidc?.params ?? {} // eslint-disable-line camelcase
      seen.requests.push({ grant_type, refresh_token, status: ctx.status })
    }
  }
}

function start (options, server) {
  const url = `http://127.0.0.1:${server.address().port}`
  const provider = new Provider(options.issuer ?? url, configuration(options))
  provider.use((ctx, next) => ctx.path.startsWith('/login/') ? login(ctx, provider) : observe(ctx, next))
  provider.on('backchannel.success', (ctx, client, sub, sid) => seen.logouts.push({ client_id: client.clientId, sub, sid, error: null }))
  provider.on('backchannel.error', (ctx, error, client, sub, sid) =>
    seen.logouts.push({ client_id: client.clientId, sub, sid, error: `${error.message} ${error.response?.body ?? ''}` }))
  provider.on('server_error', (ctx, error) => console.error(error))
  server.on('request', provider.callback())
  return { url, issuer: provider.issuer }
}

function obey (command) {
  if (command.client) {
    stored.set(`Client ${command.client.client_id}`, command.client)
    return {}
  }
  return seen[command.take].splice(0)
}

console.info = console.warn = () => {} // its advice for production
const server = createServer()
server.keepAliveTimeout = 60000
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
let running = false
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(running ? obey(JSON.parse(line)) : start(JSON.parse(line), server)))
  running = true
}
process.exit(0)
