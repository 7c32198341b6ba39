// Other people's programs on the workload of bench/peers/workload.json. One line of input is one turn of one program, and is
// answered by one line: how many slots it found, and how long it took.
//
//   cal       Cal.com's own functions, out of its package of npm: hours of the zone day by day, less what is busy, cut into
//             slots. Two of them are exported; the cut is not, so it is taken from the installed file as it stands.
//   temporal  the same formula in our words, over Temporal: what anyone would write who has a library for zones.

import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const work = JSON.parse(readFileSync(process.argv[2], "utf8"));
const from = Date.parse(work.from);
const until = from + work.days * 86_400_000;
const clock = (minutes) => [Math.floor(minutes / 60), minutes % 60];
const busyOf = (booked) => booked.map(([start, length]) => [
  from + (start - work.blocked_minutes) * 60_000,
  from + (start + length + work.blocked_minutes) * 60_000,
]);

async function cal() {
  const require = createRequire(import.meta.url);
  const folder = dirname(require.resolve("@calcom/platform-libraries/slots"));
  const file = readdirSync(folder).find((name) => /^date-ranges-.*\.js$/.test(name));
  const { b: buildDateRanges, s: subtract } = await import(pathToFileURL(join(folder, file)));
  const { default: dayjs } = await import("dayjs"); // which the line above has given the plugins
  const source = readFileSync(join(folder, "slots.js"), "utf8");
  const cut = source.slice(source.indexOf("const minimumOfOne ="), source.indexOf("const getSlots$1 ="));
  const getTimeZone = (date) => date["$x"]["$timezone"];
  const getSlots = new Function("dayjs", "getTimeZone", `${cut}; return getSlots;`)(dayjs, getTimeZone);
  const time = (minutes) => new Date(Date.UTC(1970, 0, 1, ...clock(minutes)));
  const availability = [
    { days: work.weekdays, startTime: time(work.from_minute), endTime: time(work.until_minute) },
  ];
  return (booked) => {
    const { dateRanges } = buildDateRanges({
      availability,
      timeZone: work.zone,
      dateFrom: dayjs.utc(from),
      dateTo: dayjs.utc(until),
      travelSchedules: [],
      outOfOffice: undefined,
    });
    const busy = busyOf(booked).map(([start, end]) => ({ start: dayjs.utc(start), end: dayjs.utc(end) }));
    return getSlots({
      inviteeDate: dayjs.utc(from).tz(work.zone),
      frequency: work.step_minutes,
      eventLength: work.slot_minutes,
      minimumBookingNotice: -60 * 24 * 3650, // the window may have passed
      dateRanges: subtract(dateRanges, busy),
    }).length;
  };
}

async function temporal() {
  const { Temporal } = await import("temporal-polyfill");
  const step = work.step_minutes * 60_000;
  const length = work.slot_minutes * 60_000;
  const at = (day, minutes) => {
    const [hour, minute] = clock(minutes);
    return day.toZonedDateTime({ timeZone: work.zone, plainTime: { hour, minute } }).epochMilliseconds;
  };
  return (booked) => {
    const busy = busyOf(booked);
    let slots = 0;
    let day = Temporal.Instant.fromEpochMilliseconds(from).toZonedDateTimeISO(work.zone).toPlainDate();
    const last = Temporal.Instant.fromEpochMilliseconds(until).toZonedDateTimeISO(work.zone).toPlainDate();
    for (; Temporal.PlainDate.compare(day, last) <= 0; day = day.add({ days: 1 })) {
      if (!work.weekdays.includes(day.dayOfWeek)) continue;
      const opens = Math.max(at(day, work.from_minute), from);
      const closes = Math.min(at(day, work.until_minute), until);
      for (let start = Math.ceil(opens / step) * step; start + length <= closes; start += step) {
        if (!busy.some(([low, high]) => low < start + length && high > start)) slots += 1;
      }
    }
    return slots;
  };
}

const makers = { cal, temporal };
const programs = {};
for await (const line of createInterface({ input: process.stdin })) {
  const { program, mentors } = JSON.parse(line);
  try {
    programs[program] ??= await makers[program]();
    const began = process.hrtime.bigint();
    let slots = 0;
    for (const booked of work.booked.slice(0, mentors)) slots += programs[program](booked);
    console.log(JSON.stringify({ slots, seconds: Number(process.hrtime.bigint() - began) / 1e9 }));
  } catch (error) {
    console.log(JSON.stringify({ fault: String(error) }));
  }
}
