# Rows of bench.h to the table, and the exit status: 1 when a bar is missed. With quick set, bars do
# not count: a row passes by being there.
#
# Other lines are of `evaluator`: SIDE, NAME, KEY, NUMBER for both sides; their rows are made here.

function row(name, ours, peer, unit, rule, bar,    ratio, shown, state, want) {
  ratio = rule == "faster" ? peer / ours : rule == "atmost" || peer <= 0 ? ours : ours / peer
  rows++
  if (quick) bar = -1
  state = bar < 0 ? "" : (rule == "growth" || rule == "atmost" ? ratio <= bar : ratio >= bar) ? "ok" : "MISSED"
  # A bar against a peer that was not measured is not met.
  if (bar >= 0 && peer <= 0 && rule != "atmost") state = "MISSED"
  want = bar < 0 ? "" : (rule == "growth" || rule == "atmost" ? "<= " : ">= ") bar
  shown = ""
  if (peer > 0) shown = sprintf((ratio >= 100 ? "%.0f" : "%.2f"), ratio)
  printf "%-50s %12s %12s %9s %9s  %s\n", name, amount(ours, unit), (peer > 0 ? amount(peer, unit) : ""), shown, want, state
  fflush()
  if (state == "MISSED") missed++
  if (state != "") bars++
}

function amount(n, unit) {
  if (unit == "s") return n < 1e-3 ? sprintf("%.2f us", n * 1e6) : n < 1 ? sprintf("%.2f ms", n * 1e3) : sprintf("%.2f s", n)
  if (unit == "/s") return sprintf("%.0f /s", n)
  if (unit == "B") return n < 1e6 ? sprintf("%.1f B", n) : sprintf("%.2f MB", n / 1e6)
  return sprintf("%.4g%s", n, unit)
}

BEGIN {
  FS = "\t"
  printf "%-50s %12s %12s %9s %9s\n", "name", "ours", "peer", "ratio", "bar"
}

$1 == "row" { row($2, $3, $4, $5, $6, $7); next }

$1 == "title" { printf "\n%s\n", $2; fflush(); next }

$1 == "ours" { ours[$2, $3] = $4; next }

# The official client's line closes the row: our side ran before.
$1 == "peer" {
  key = $3
  if (key ~ /^result of /) {
    if (ours[$2, key] != $4) { printf "%-50s different results\n", $2 " " key; wrong++ }
  } else if (key ~ /^query: /) {
    row($2 " " key, ours[$2, key], $4, "s", "faster", 5)
    ratios[$2, ++shapes[$2]] = $4 / ours[$2, key]
    sub("query", "prepared", key)
    row("    prepared", ours[$2, key], $4, "s", "faster", -1)
    sub("prepared", "first", key)
    row("    first run", ours[$2, key], $4, "s", "faster", -1)
  } else if (key == "bytes") {
    bytes = $4
  } else if (key == "triples") {
    if ($4 != ours[$2, key]) { printf "%s: %d triples here, %d there\n", $2, ours[$2, key], $4; wrong++ }
    n = $4
    row($2 " resident bytes a triple", ours[$2, "bytes"] / n, bytes / n, "B", "info", -1)
    if (n >= 10000) {
      row($2 " overhead a triple", ours[$2, "overhead"] / n, -1, "B", "atmost", 120)
      row($2 " resident less the values' own, a triple", (ours[$2, "bytes"] - ours[$2, "own bytes"]) / n, -1, "B", "atmost", n >= 100000 ? 120 : -1)
    }
  } else {
    row($2 " " key, ours[$2, key], $4, "s", "faster", 5)
    if (key == "write 1") one[$2] = ours[$2, key]
    if (key == "load") median($2)
  }
  next
}

{ print; next }

function median(name,    i, j, n, t) {
  if (quick) return
  n = shapes[name]
  for (i = 2; i <= n; i++)
    for (j = i; j > 1 && ratios[name, j] < ratios[name, j - 1]; j--) {
      t = ratios[name, j]; ratios[name, j] = ratios[name, j - 1]; ratios[name, j - 1] = t
    }
  t = n % 2 ? ratios[name, (n + 1) / 2] : (ratios[name, n / 2] + ratios[name, n / 2 + 1]) / 2
  printf "%-50s %12s %12s %9.2f %9s  %s\n", name " median over the shapes", "", "", t, ">= 20", (t >= 20 ? "ok" : "MISSED")
  bars++
  if (t < 20) missed++
}

END {
  if (("1M" in one) && ("10k" in one)) row("one write, 1M against 10k triples", one["1M"], one["10k"], "s", "growth", 2)
  if (quick) printf "\n%d passed, %d failed\n", rows, wrong
  else printf "\n%d bars, %d missed%s\n", bars, missed, (wrong ? ", " wrong " wrong results" : "")
  exit missed + wrong > 0
}
