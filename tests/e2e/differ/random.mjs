// A random source that a seed decides alone.

export class Random {
  constructor(seed) {
    this.state = (seed * 2654435761 + 1013904223) >>> 0;
    for (let n = 0; n < 4; n++) this.next();
  }

  // mulberry32
  next() {
    let t = (this.state = (this.state + 0x6d2b79f5) >>> 0);
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }

  below(n) { return this.next() % n; }
  // True once in n times.
  once(n) { return this.below(n) === 0; }
  pick(list) { return list[this.below(list.length)]; }
  some(list, count) { return Array.from({ length: count }, () => this.pick(list)); }
  // [weight, value] pairs
  weigh(pairs) {
    let at = this.below(pairs.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, value] of pairs) {
      if (at < weight) return value;
      at -= weight;
    }
    throw new Error('unreachable');
  }

  uuid() {
    const hex = Array.from({ length: 4 }, () => this.next().toString(16).padStart(8, '0')).join('');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
  }
}
