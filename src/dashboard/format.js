/** Texts for instants, durations, money and counts. */

const clockTime = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const minuteTime = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});

export const nothing = "–";

export function timeOfDay(instant) {
  return clockTime.format(new Date(instant));
}

export function minuteOfDay(instant) {
  return minuteTime.format(new Date(instant));
}

/** Two units at most: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return nothing;
  const value = Math.max(0, seconds);
  if (value > 0 && value < 9.95 && !Number.isInteger(value)) return `${value.toFixed(1)} s`;
  const whole = Math.round(value);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${padded(whole % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${padded(minutes % 60)} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function money(dollars) {
  if (dollars === null || dollars === undefined) return nothing;
  if (dollars === 0) return "$0";
  if (dollars < 0.001) return "under $0.001";
  return `$${dollars.toFixed(dollars < 1 ? 3 : 2)}`;
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString()} ${number === 1 ? one : many}`;
}

function padded(number) {
  return String(number).padStart(2, "0");
}
