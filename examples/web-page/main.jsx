// A shared to-do list: live queries, optimistic writes, who is here and who types, sign-in, pictures.
// Nothing here is particular to this backend but the two addresses.

import { useState } from 'react';
import { createRoot } from 'react-dom/client';
import { init, id } from '@instantdb/react';

const apiURI = import.meta.env.VITE_INSTANT_API ?? 'http://127.0.0.1:8888';
const db = init({
  appId: import.meta.env.VITE_INSTANT_APP_ID,
  apiURI,
  websocketURI: `${apiURI.replace(/^http/, 'ws')}/runtime/session`,
  devtool: false,
});
const room = db.room('list', 'everybody');

// A form with one field: `onSubmit(text)` may be async, its error is shown.
function Ask({ label, onSubmit, ...input }) {
  const [error, setError] = useState();
  const submit = async (event) => {
    event.preventDefault();
    const { value } = event.target.elements.value;
    event.target.reset();
    setError();
    try {
      await onSubmit(value.trim());
    } catch (e) {
      setError(e.body?.message ?? e.message);
    }
  };
  return (
    <form onSubmit={submit}>
      <input name="value" aria-label={label} placeholder={label} required {...input} /> <button>{label}</button>
      {error && <p className="error">{error}</p>}
    </form>
  );
}

function SignIn() {
  const [email, setEmail] = useState();
  const send = async (address) => {
    await db.auth.sendMagicCode({ email: address });
    setEmail(address);
  };
  return (
    <>
      <button onClick={() => db.auth.signInAsGuest()}>Come in as a guest</button>
      {email
        ? <Ask key="code" label="Sign in with the code" onSubmit={(code) => db.auth.signInWithMagicCode({ email, code })} />
        : <Ask key="email" label="Send me a code" type="email" onSubmit={send} />}
    </>
  );
}

function People({ name }) {
  db.rooms.useSyncPresence(room, { name });
  const { user, peers } = db.rooms.usePresence(room);
  const names = [user, ...Object.values(peers)].map((peer) => peer?.name).filter(Boolean);
  return <p id="people">Here: {names.join(', ')}</p>;
}

function Todos() {
  const { isLoading, error, data } = db.useQuery({ todos: { $: { order: { serverCreatedAt: 'asc' } } } });
  const typing = db.rooms.useTypingIndicator(room, 'new-todo', { timeout: 1500 });
  if (isLoading) return <p>Loading...</p>;
  if (error) return <p className="error">{error.message}</p>;
  const add = (text) => db.transact(db.tx.todos[id()].update({ text, done: false }));
  return (
    <>
      <ul id="todos">
        {data.todos.map((todo) => (
          <li key={todo.id} className={todo.done ? 'done' : ''}>
            <label>
              <input type="checkbox" checked={todo.done}
                onChange={() => db.transact(db.tx.todos[todo.id].update({ done: !todo.done }))} /> {todo.text}
            </label>{' '}
            <button aria-label={`Remove ${todo.text}`} onClick={() => db.transact(db.tx.todos[todo.id].delete())}>×</button>
          </li>
        ))}
      </ul>
      <Ask label="Add" autoComplete="off" onSubmit={add} {...typing.inputProps} />
      <p id="typing">{typing.active.length > 0 && `${typing.active.map((peer) => peer.name).join(', ')} typing...`}</p>
    </>
  );
}

function Pictures() {
  const { data } = db.useQuery({ $files: { $: { where: { path: { $like: 'pictures/%' } } } } });
  const upload = (event) => {
    for (const file of event.target.files) db.storage.uploadFile(`pictures/${file.name}`, file);
  };
  return (
    <section id="pictures">
      <label>Add pictures: <input type="file" accept="image/*" multiple onChange={upload} /></label>
      <p>{data?.$files.map((file) => <img key={file.id} src={file.url} alt={file.path} />)}</p>
    </section>
  );
}

function Page() {
  const { isLoading, error, user } = db.useAuth();
  const status = db.useConnectionStatus();
  if (isLoading) return <p>Loading...</p>;
  if (error) return <p className="error">{error.message}</p>;
  const name = user && (user.email ?? `guest ${user.id.slice(0, 4)}`);
  return (
    <main>
      <h1>To do, together</h1>
      {!user ? <SignIn /> : (
        <>
          <p id="me">{name} ({status}) <button onClick={() => db.auth.signOut()}>Sign out</button></p>
          <People name={name} />
          <Todos />
          <Pictures />
        </>
      )}
    </main>
  );
}

createRoot(document.getElementById('page')).render(<Page />);
