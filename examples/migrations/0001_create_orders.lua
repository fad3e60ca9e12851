-- Orders as they come, with some to begin with.
return {
  up = function(m)
    m:schema(function(schema)
      schema.entities.orders = i.entity {
        number = i.string():unique():indexed(),
        email = i.string(),
        total = i.number(),
      }
    end)
    local orders = {}
    for n = 1, 6 do
      local email = n % 2 == 0 and "Ann@example.com" or "bob@example.com "
      orders[n] = m.tx.orders[m.id()]:update { number = "A-" .. n, email = email, total = n * 10 }
    end
    m:transact(orders)
  end,
  down = function(m)
    m:schema(function(schema) schema.entities.orders = nil end)
  end,
}
