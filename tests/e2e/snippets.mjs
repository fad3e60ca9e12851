// Documents that are tests: every fenced block of a Markdown file is done, in order, in one folder of its own.
//
//     ```lua                  a script: instant-lua runs it, and it must end well
//     ```lua name.lua         a file of that name (likewise ```ts name.ts and any other language)
//     ```sh                   commands, `instant-lua` among them; the first that fails fails the block
//     ```text                 what the block before it printed, line by line; `...` stands for anything
//
// In comments, which readers do not see:
//
//     <!-- serve ARGS -->     from here on there is a backend, started with ARGS in the folder of the
//                             document's files: INSTANT_CLI_API_URI, INSTANT_APP_ID and
//                             INSTANT_APP_ADMIN_TOKEN say where
//     <!-- nginx -->          needs nginx with its Lua module; skipped from here on without
//     <!-- love -->           the same with LÖVE
//     <!-- luanti -->         the same with Luanti's server
//     <!-- before CODE -->    code in front of every script from here on, for scripts that are parts of one

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { host, root, scratch, serve } from './harness.mjs';
import { absent, luajitFolder } from './luajit.mjs';
import { missing } from './nginx/nginx.mjs';

// What runs in documents, with our module for its LuaJIT.
const programs = {
  nginx: { name: 'nginx', program: '/usr/sbin/nginx', missing },
  love: { name: 'love', program: '/usr/bin/love', missing: absent(['/usr/bin/love', 'love']) },
  luanti: {
    name: 'minetestserver', program: '/usr/lib/minetest/minetestserver --logfile ""', isLate: true,
    missing: absent(['/usr/lib/minetest/minetestserver', 'minetest-server']),
  },
};

// `{kind, name, text, line}` of each block and comment.
export function blocksOf(markdown) {
  const blocks = [];
  const pattern = /^```(\w+)(?: +(\S+))?[^\n]*\n([^]*?)^```$|^<!-- (serve|nginx|love|luanti|before)\b([^]*?)-->/gm;
  for (const match of markdown.matchAll(pattern)) {
    const [, kind, name, text, comment, rest] = match;
    const line = markdown.slice(0, match.index).split('\n').length;
    blocks.push(comment ? { kind: comment, text: rest.trim(), line, isComment: true } : { kind, name, text, line });
  }
  return blocks;
}

function expected(text) {
  const escaped = text.trim().replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replaceAll('\\.\\.\\.', '[^]*?')}$`);
}

const execute = (file, args, cwd, env) => new Promise((resolve) => {
  const child = execFile(file, args, { cwd, env, timeout: 120000 }, (error, stdout, stderr) => {
    resolve({ code: error ? error.code ?? error.signal : 0, output: stdout + stderr });
  });
  child.stdin.end();
});

async function backend(t, args, cwd) {
  const server = await serve(t, { args, cwd });
  const [, id] = await server.line(/app id:\s+(\S+)/);
  const [, token] = await server.line(/admin token:\s+(\S+)/);
  return { INSTANT_CLI_API_URI: server.api, INSTANT_APP_ID: id, INSTANT_APP_ADMIN_TOKEN: token };
}

export async function runDocument(t, file) {
  const dir = scratch(t);
  const where = (block) => `${path.relative(root, file)}:${block.line}`;
  let env = { ...process.env, PATH: `${path.dirname(host)}:${process.env.PATH}`, LC_ALL: 'C.UTF-8' };
  let before = '';
  let last;
  for (const block of blocksOf(readFileSync(file, 'utf8'))) {
    if (block.isComment) {
      const program = programs[block.kind];
      if (program?.missing) return t.skip(program.missing);
      if (program) env = { ...env, PATH: `${luajitFolder(scratch(t), program)}:${env.PATH}` };
      else if (block.kind === 'serve') env = { ...env, ...await backend(t, block.text.split(' ').filter(Boolean), dir) };
      else before += `${block.text}\n`;
    } else if (block.name) {
      mkdirSync(path.dirname(path.join(dir, block.name)), { recursive: true });
      writeFileSync(path.join(dir, block.name), block.text);
    } else if (block.kind === 'text') {
      assert.ok(last !== undefined, `${where(block)}: nothing was run before this output`);
      assert.match(last.trim(), expected(block.text), where(block));
    } else {
      assert.match(block.kind, /^(lua|sh)$/, `${where(block)}: a block that cannot be run needs a file name`);
      if (block.kind === 'lua') writeFileSync(path.join(dir, 'snippet.lua'), before + block.text);
      const result = block.kind === 'lua'
        ? await execute(host, ['snippet.lua'], dir, env)
        : await execute('sh', ['-euc', `exec 2>&1\n${block.text}`], dir, env);
      assert.equal(result.code, 0, `${where(block)}:\n${result.output}`);
      last = result.output;
    }
  }
  return undefined;
}
