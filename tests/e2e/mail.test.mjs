// Magic codes by mail: a real SMTP server, and an HTTP provider's API, on this machine.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { SMTPServer } from 'smtp-server';
import { connect, makeApp, makeCertificate, scratch, serve, within } from './harness.mjs';

// What arrives, one after the other.
function inbox() {
  const mails = [];
  const waiting = [];
  return {
    mails,
    put(mail) {
      mails.push(mail);
      waiting.shift()?.(mail);
    },
    next: () => within(15000, 'a mail', new Promise((resolve) => waiting.push(resolve))),
  };
}

async function smtpServer(t, options = {}) {
  const box = inbox();
  const server = new SMTPServer({
    authOptional: true, disabledCommands: options.secure || options.key ? [] : ['STARTTLS'],
    logger: false,
    onAuth: (auth, session, done) => done(null, auth.password === 'p@ss:w' ? { user: auth.username } : undefined),
    onData(stream, session, done) {
      let text = '';
      stream.on('data', (chunk) => { text += chunk; });
      stream.on('end', () => {
        const { mailFrom, rcptTo } = session.envelope; // gone behind done
        done(options.refuses ? Object.assign(new Error('no such user'), { responseCode: 550 }) : null);
        box.put({ text, secure: session.secure, user: session.user, from: mailFrom.address,
          to: rcptTo.map((rcpt) => rcpt.address) });
      });
    },
    ...options,
  });
  server.on('error', () => {});
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => new Promise((resolve) => server.close(resolve)));
  return { ...box, port: server.server.address().port };
}

function parts(mail) {
  const [head] = mail.text.split('\r\n\r\n');
  const boundary = head.match(/boundary="([^"]+)"/)[1];
  const bodies = mail.text.split(`--${boundary}`).slice(1, -1)
    .map((part) => Buffer.from(part.split('\r\n\r\n')[1], 'base64').toString());
  return { head, text: bodies[0], html: bodies[1] };
}

// The app that a first start makes: one that does not expire.
async function firstApp(server) {
  const [, id] = await server.line(/app id: +([0-9a-f-]{36})/);
  const [, token] = await server.line(/admin token: ([0-9a-f-]{36})/);
  return { id, token };
}

async function dash(server, app, route, body) {
  const response = await fetch(`${server.api}/dash/apps/${app.id}/${route}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${app.token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200);
  return response.json();
}

test('codes by SMTP, with a template of the app', async (t) => {
  const smtp = await smtpServer(t);
  const server = await serve(t, { args: ['--mail',
    `smtp://me%40x:p%40ss%3Aw@127.0.0.1:${smtp.port}?from=app@example.com`] });
  const passing = await makeApp(server, { title: 'Größe & Co' });
  const app = await firstApp(server);
  let coming = smtp.next();
  const guest = connect(t, server, passing);
  await guest.auth.sendMagicCode({ email: 'Ann@Example.com' });
  let mail = await coming;
  assert.deepEqual([mail.from, mail.to, mail.user], ['app@example.com', ['ann@example.com'], 'me@x']);
  let { head, html, text } = parts(mail);
  const [code] = text.match(/\d{6}/);
  assert.match(head, /^From: =\?UTF-8\?B\?\S+\?= <app@example\.com>\r\nTo: <ann@example\.com>\r\n/);
  assert.match(html, new RegExp(`Größe &#38; Co.*${code}`, 's'));
  assert.equal((await guest.auth.signInWithMagicCode({ email: 'ann@example.com', code })).created, true);

  const db = connect(t, server, app);
  await dash(server, app, 'email_templates', { 'email-type': 'magic-code', subject: 'Come in: {code}',
    body: '<p>{user_email}: <b>{code}</b></p>', 'sender-name': 'The Door' });
  coming = smtp.next();
  await db.auth.sendMagicCode({ email: 'bob@example.com' });
  mail = await coming;
  ({ head, html } = parts(mail));
  assert.match(head, /^From: "The Door" <app@example\.com>/);
  const [, own] = head.match(/Subject: Come in: (\d{6})/);
  assert.equal(html, `<p>bob@example.com: <b>${own}</b></p>`);
  assert.doesNotMatch(server.output(), new RegExp(`${code}|${own}|p@ss`));

  // Many at once all arrive; each goes out by itself.
  const before = smtp.mails.length;
  await Promise.all(Array.from({ length: 20 }, (_, i) => db.auth.sendMagicCode({ email: `u${i}@example.com` })));
  while (smtp.mails.length < before + 20) await smtp.next();
  const reached = new Set(smtp.mails.slice(before).flatMap((m) => m.to));
  assert.equal(reached.size, 20);
});

test('mail that is refused, or has nowhere to go', async (t) => {
  const smtp = await smtpServer(t, { refuses: true });
  const server = await serve(t, { args: ['--mail', `smtp://127.0.0.1:${smtp.port}?from=app@example.com`] });
  const db = connect(t, server, await makeApp(server));
  assert.deepEqual(await db.auth.sendMagicCode({ email: 'ann@example.com' }), { sent: true });
  await server.said(/a mail with a code was not sent: .*127\.0\.0\.1/);
  const nowhere = await serve(t, { args: ['--mail', 'smtp://127.0.0.1:1?from=app@example.com'] });
  const other = connect(t, nowhere, await makeApp(nowhere));
  assert.deepEqual(await other.auth.sendMagicCode({ email: 'ann@example.com' }), { sent: true });
  await nowhere.said(/a mail with a code was not sent: /);
  assert.doesNotMatch(nowhere.output(), /code of/);
});

test('STARTTLS that is required is not done without', async (t) => {
  const dir = scratch(t);
  makeCertificate(dir, 'localhost');
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => readFileSync(path.join(dir, name)));
  const open = await smtpServer(t);
  const closed = await smtpServer(t, { key, cert });
  for (const smtp of [open, closed]) { // one offers none, the other a certificate that nobody vouches for
    const server = await serve(t, { args: ['--mail', `smtp://localhost:${smtp.port}?from=app@example.com&tls=required`] });
    const db = connect(t, server, await makeApp(server));
    await db.auth.sendMagicCode({ email: 'ann@example.com' });
    await server.said(/a mail with a code was not sent: /);
    assert.equal(smtp.mails.length, 0);
  }
});

test('codes by an HTTP provider', async (t) => {
  const box = inbox();
  const api = http.createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => { body += chunk; });
    request.on('end', () => {
      response.writeHead(request.headers['x-postmark-server-token'] === 'tok/1' ? 200 : 401);
      response.end('{}');
      box.put({ ...JSON.parse(body), token: request.headers.authorization ?? request.headers['x-postmark-server-token'] });
    });
  });
  await new Promise((resolve) => api.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    api.closeAllConnections();
    api.close();
  });
  const at = encodeURIComponent(`http://127.0.0.1:${api.address().port}/email`);
  const server = await serve(t, { args: ['--mail', `postmark://tok%2F1?from=app@example.com&name=Us&api=${at}`] });
  const db = connect(t, server, await makeApp(server));
  let coming = box.next();
  await db.auth.sendMagicCode({ email: 'ann@example.com' });
  const mail = await coming;
  assert.equal(mail.To, 'ann@example.com');
  assert.equal(mail.token, 'tok/1');
  const [code] = mail.TextBody.match(/\d{6}/);
  assert.equal((await db.auth.signInWithMagicCode({ email: 'ann@example.com', code })).created, true);

  const grid = await serve(t, { args: ['--mail', `sendgrid://k1?from=app@example.com&api=${at}`] });
  coming = box.next();
  await connect(t, grid, await makeApp(grid)).auth.sendMagicCode({ email: 'bob@example.com' });
  const other = await coming;
  assert.equal(other.token, 'Bearer k1');
  assert.equal(other.personalizations[0].to[0].email, 'bob@example.com');
  await grid.said(/a mail with a code was not sent: the mail server answered 401/);
});

test('a way to send mail that is none', async (t) => {
  await assert.rejects(serve(t, { args: ['--mail', 'smtp://u:s3cret@h'] }), (err) => {
    assert.match(err.message, /it needs \?from=ADDRESS/);
    assert.doesNotMatch(err.message, /s3cret/);
    return true;
  });
});
