import { i } from '@instantdb/core';

export const schema = i.schema({
  entities: { todos: i.entity({ title: i.string(), owner: i.string() }), tags: i.entity({ name: i.string() }) },
  links: {
    todosTags: { forward: { on: 'todos', has: 'many', label: 'tags' }, reverse: { on: 'tags', has: 'many', label: 'todos' } },
  },
});
