// Verifies the tokens of cases.json: openid-client discovers the issuer, jose fetches the keys and verifies.
// NODE_EXTRA_CA_CERTS names the CA.
import { readFileSync } from 'node:fs'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import * as client from 'openid-client'

const plan = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const configuration = await client.discovery(new URL(plan.issuer), 'sts.amazonaws.com')
const server = configuration.serverMetadata()
const keys = createRemoteJWKSet(new URL(server.jwks_uri))
for (const one of plan.cases) {
  let verdict = true
  let why = ''
  try {
    await jwtVerify(one.token, keys, {
      issuer: server.issuer,
      audience: one.audience,
      algorithms: server.id_token_signing_alg_values_supported,
      requiredClaims: ['exp', 'iat', 'nbf', 'sub'],
    })
  } catch (error) {
    verdict = false
    why = `${error.code}: ${error.message}`
  }
  if (verdict !== one.accept) {
    console.error(`jose: ${one.name}: accepted=${verdict} ${why}`)
    process.exit(1)
  }
  console.log(`jose: ${one.name}: ${verdict ? 'accepted' : `refused (${why})`}`)
}
