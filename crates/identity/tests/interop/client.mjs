// A program of somebody else's: openid-client, as it comes. Plays the person's browser, too.
// Arguments: issuer, user, password. Prints one line of JSON, or fails.

import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(process.env.MODULES + '/');
const client = await import(pathToFileURL(require.resolve('openid-client')));

const [issuer, username, password] = process.argv.slice(2);
const redirect_uri = 'http://127.0.0.1:45999/callback';
const scope = 'openid profile email offline_access';

const cookies = new Map();
async function browse(url, form) {
  const headers = { cookie: [...cookies].map(([n, v]) => `${n}=${v}`).join('; ') };
  const body = form && new URLSearchParams(form);
  const answer = await fetch(url, { method: form ? 'POST' : 'GET', headers, body, redirect: 'manual' });
  for (const set of answer.headers.getSetCookie()) {
    const [name, value] = set.split(';')[0].split('=');
    cookies.set(name, value);
  }
  const location = answer.headers.get('location');
  return { location: location && new URL(location, url), text: await answer.text(), status: answer.status };
}
const field = (page, name) => page.match(new RegExp(`name="${name}" value="([^"]*)"`))[1];

async function logIn(login) {
  const page = await browse(login);
  const form = { page: field(page.text, 'page'), csrf: field(page.text, 'csrf'), username, password };
  return (await browse(new URL('/login', issuer), form)).location;
}

const config = await client.discovery(new URL(issuer), 'towpath-cli', undefined, client.None(), {
  execute: [client.allowInsecureRequests],
});
client.enableNonRepudiationChecks(config); // signatures are verified, with the published keys

// Authorization code with PKCE.
const pkceCodeVerifier = client.randomPKCECodeVerifier();
const expectedState = client.randomState();
const expectedNonce = client.randomNonce();
const url = client.buildAuthorizationUrl(config, {
  redirect_uri, scope, state: expectedState, nonce: expectedNonce,
  code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
  code_challenge_method: 'S256',
});
const callback = await logIn((await browse(url)).location);
const code = await client.authorizationCodeGrant(config, callback, {
  pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true,
});
const info = await client.fetchUserInfo(config, code.access_token, code.claims().sub);
const refreshed = await client.refreshTokenGrant(config, code.refresh_token);
await client.tokenRevocation(config, refreshed.refresh_token);
const dead = await client.refreshTokenGrant(config, refreshed.refresh_token).then(() => 'alive', (e) => e.error);

// Device grant.
const device = await client.initiateDeviceAuthorization(config, { scope });
const confirm = await browse(device.verification_uri_complete);
const decision = { csrf: field(confirm.text, 'csrf'), user_code: device.user_code, decision: 'approve' };
const polled = client.pollDeviceAuthorizationGrant(config, device);
await browse(new URL('/device', issuer), decision);
const tokens = await polled;

console.log(JSON.stringify({
  code: code.claims(), info, refreshed: refreshed.claims().sub, dead, device: tokens.claims(),
}));
