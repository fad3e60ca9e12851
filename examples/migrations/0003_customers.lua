-- The address of an order becomes a customer of its own, linked; the attribute goes.
return {
  up = function(m)
    m:schema(function(schema)
      schema.entities.customers = i.entity { email = i.string():unique():indexed() }
      schema.links.ordersCustomer = {
        forward = { on = "orders", label = "customer", has = "one" },
        reverse = { on = "customers", label = "orders", has = "many" },
      }
    end)
    m:each("orders", function(order)
      local customer = m.lookup("email", order.email)
      return {
        m.tx.customers[customer]:update {}, -- made by the first order that has the address
        m.tx.orders[order.id]:link { customer = customer },
      }
    end)
    m:schema(function(schema) schema.entities.orders.attrs.email = nil end)
    m:rules(function(rules)
      rules.customers = { allow = { view = "auth.email == data.email", ["$default"] = "false" } }
    end)
  end,
  down = function(m)
    m:rules(function(rules) rules.customers = nil end)
    m:schema(function(schema) schema.entities.orders.attrs.email = i.string():optional() end)
    m:each("orders", { with = { customer = {} } }, function(order)
      return m.tx.orders[order.id]:update { email = order.customer.email }
    end)
    m:schema(function(schema)
      schema.entities.orders.attrs.email = i.string()
      schema.links.ordersCustomer, schema.entities.customers = nil, nil
    end)
  end,
}
