/** `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`: two units at most. */
export function durationText(seconds: number): string {
  if (seconds < 0) return "0 s";
  if (seconds < 9.95) return `${Math.round(seconds * 10) / 10} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return twoUnits(whole, 60, "min", 1, "s");
  if (whole < 86_400) return twoUnits(whole, 3600, "h", 60, "min");
  return twoUnits(whole, 86_400, "d", 3600, "h");
}

function twoUnits(seconds: number, big: number, bigName: string, small: number, smallName: string): string {
  const rest = Math.floor((seconds % big) / small);
  return `${Math.floor(seconds / big)} ${bigName}${rest === 0 ? "" : ` ${rest} ${smallName}`}`;
}

/** `12 s ago`, `in 3 min`, `now`. `at` is ISO 8601. */
export function relativeText(at: string, now: number): string {
  const seconds = (Date.parse(at) - now) / 1000;
  if (Number.isNaN(seconds)) return at;
  if (Math.abs(seconds) < 1) return "now";
  return seconds < 0
    ? `${durationText(Math.round(-seconds))} ago`
    : `in ${durationText(Math.round(seconds))}`;
}

/** `2026-10-01 12:00:00`, in UTC. */
export function instantText(at: string): string {
  return at.replace("T", " ").replace(/(\.\d+)?Z$/, "");
}

/** US dollars: cents, and more digits where cents would say nothing. */
export function moneyText(dollars: number): string {
  if (dollars === 0 || Math.abs(dollars) >= 0.1) return `$${dollars.toFixed(2)}`;
  return `$${dollars.toFixed(4)}`;
}

/** `1 job`, `2 jobs`, `no jobs`. */
export function countText(count: number, noun: string): string {
  if (count === 1) return `1 ${noun}`;
  return `${count === 0 ? "no" : numberText(count)} ${noun}s`;
}

/** `12,345` */
export function numberText(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}
