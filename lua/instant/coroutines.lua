--- Lua's own coroutines. Inside nginx the global functions make coroutines that only nginx may
--- resume; a task is resumed from callbacks, and keeps to the original ones.

return {
  create = coroutine._create or coroutine.create,
  resume = coroutine._resume or coroutine.resume,
  status = coroutine._status or coroutine.status,
  yield = coroutine._yield or coroutine.yield,
  running = coroutine.running,
}
