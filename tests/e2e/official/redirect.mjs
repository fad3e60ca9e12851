// The platform's tests ask the cloud, which has no option: what goes there goes to the server.

const { fetch } = globalThis;
globalThis.fetch = (url, ...rest) =>
  fetch(String(url).replace('https://api.instantdb.com', `http://127.0.0.1:${process.env.INSTANT_PORT}`), ...rest);
