// A provider of somebody else's: oidc-provider, as it comes. ES256 keys, groups by userinfo alone, no refresh
// tokens. Whoever comes is ada. Arguments: where it sends people back, and where it tells that somebody is logged out.
// Prints its issuer; `/groups?names=a,b` says which groups she is in.

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(process.env.MODULES + '/');
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));

const [redirect, backchannel] = process.argv.slice(2);
const accountId = 'ada';
let groups = ['payments'];

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const key = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: randomUUID() };

const server = createServer();
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'towpath',
    client_secret: 'hush-of-the-provider',
    redirect_uris: [redirect],
    grant_types: ['authorization_code'],
    id_token_signed_response_alg: 'ES256',
    backchannel_logout_uri: backchannel,
    backchannel_logout_session_required: true,
  }],
  jwks: { keys: [key] },
  cookies: { keys: ['kept by nobody'] },
  // With an access token in the answer, these are in userinfo and not in the ID token.
  claims: { openid: ['sub'], profile: ['preferred_username', 'name', 'groups'], email: ['email'] },
  features: { devInteractions: { enabled: false }, backchannelLogout: { enabled: true } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, preferred_username: id, name: 'Ada', groups, email: 'ada@example.com' }),
  }),
  async loadExistingGrant({ oidc }) {
    const grant = new provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
    grant.addOIDCScope('openid profile email');
    await grant.save();
    return grant;
  },
});
provider.use(async (context, next) => {
  if (context.path.startsWith('/interaction/')) {
    context.respond = false;
    await provider.interactionFinished(context.req, context.res, { login: { accountId } });
  } else if (context.path === '/groups') {
    groups = context.query.names.split(',');
    context.status = 204;
  } else {
    await next();
  }
});
server.on('request', provider.callback());
console.log(issuer);
