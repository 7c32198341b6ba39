// Reads one iCalendar object on stdin and prints what ical.js understood of it, as JSON.
import { readFileSync } from "node:fs";
import ICAL from "ical.js";

const calendar = new ICAL.Component(ICAL.parse(readFileSync(0, "utf8")));
const components = calendar.getAllSubcomponents();
const component = calendar.getFirstSubcomponent("vevent");
const event = new ICAL.Event(component);
console.log(
  JSON.stringify({
    method: calendar.getFirstPropertyValue("method"),
    components: components.map(({ name }) => name),
    uid: event.uid,
    sequence: event.sequence,
    status: component.getFirstPropertyValue("status"),
    summary: event.summary,
    description: event.description,
    start: event.startDate.toJSDate().toISOString(),
    end: event.endDate.toJSDate().toISOString(),
    organizer: event.organizer,
    attendees: event.attendees.map((attendee) => ({
      address: attendee.getFirstValue(),
      name: attendee.getParameter("cn"),
      partstat: attendee.getParameter("partstat"),
    })),
  }),
);
