"use strict";
// What makes the pages pleasanter. Every page does its work without this file.

// Menus close when one looks elsewhere.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// On a phone the menu is wider than its place: the line of this page is brought into sight.
const here = document.querySelector(".nav [aria-current]");
if (here) {
  const nav = here.closest(".nav");
  nav.scrollLeft += here.getBoundingClientRect().left - nav.getBoundingClientRect().left - 24;
}

// The reader's time zone, where they chose none: kept once, and the page shown anew in it.
if ("zoneUnset" in document.body.dataset) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  document.cookie = `radar_audit_zone=${zone}; path=/; max-age=31536000; samesite=lax`;
  const kept = document.cookie.includes("radar_audit_zone=");
  if (kept && zone !== "UTC" && document.querySelector("time")) location.reload();
}

// An invitation's token is behind the #, where no server sees it: kept for after the sign-in.
const invitation = document.querySelector("[data-invitation]");
if (invitation) {
  if (location.hash.startsWith("#token=")) {
    sessionStorage.setItem("invitation", location.hash.slice("#token=".length));
    history.replaceState(null, "", location.pathname);
  }
  const field = invitation.querySelector("#link");
  const token = sessionStorage.getItem("invitation");
  if (field && token) field.value = token;
  const form = invitation.querySelector("form");
  if (form) form.addEventListener("submit", () => sessionStorage.removeItem("invitation"));
}

for (const link of document.querySelectorAll("[data-follow]")) location.assign(link.href);

// A button that copies what stands beside it.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  await navigator.clipboard.writeText(source.value ?? source.textContent);
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
});
for (const button of document.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;

// Endless paging: the next page's rows are put below these when they come into sight.
async function fetchPage(address) {
  const answer = await fetch(address, { headers: { Accept: "text/html" }, redirect: "error" });
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

const nearEnd = "IntersectionObserver" in window && new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) loadOlder(entry.target);
}, { rootMargin: "600px" });

async function loadOlder(link) {
  nearEnd.unobserve(link);
  link.setAttribute("aria-busy", "true");
  try {
    const page = await fetchPage(link.href);
    const table = document.querySelector("table.events");
    const more = page.querySelectorAll("table.events tbody.event");
    if (!table) return;
    table.append(...more);
    link.closest(".older").replaceWith(page.querySelector(".older") ?? "");
    watchOlder();
  } catch {
    link.removeAttribute("aria-busy"); // the link itself still works
  }
}

function watchOlder() {
  const link = document.querySelector("table.events ~ * [data-older], .log [data-older]");
  if (link && nearEnd && document.querySelector("table.events")) nearEnd.observe(link);
}
watchOlder();

// Live: the server says that something happened, and the results are shown anew. Where rows are
// being read, or older ones were loaded, those stay, and what is new comes above them.
const openOrFocused = "details[open], :focus";
const eventOf = (row) => row.querySelector("td.time a").getAttribute("href");

function renew(before, after) {
  const table = before.querySelector("table.events");
  const fresh = [...after.querySelectorAll("table.events tbody.event")];
  const shown = new Map([...before.querySelectorAll("tbody.event")].map((row) => [eventOf(row), row]));
  const isRead = before.querySelector(openOrFocused) || shown.size > fresh.length;
  if (!isRead || !fresh.some((row) => shown.has(eventOf(row)))) {
    before.replaceWith(after);
    watchOlder();
    return;
  }
  let place = table.querySelector("tbody.event");
  for (const row of fresh) {
    const known = shown.get(eventOf(row));
    if (!known) table.insertBefore(row, place);
    else if (known.querySelector(openOrFocused)) place = known.nextElementSibling;
    else {
      known.replaceWith(row); // a terminal may have ended since
      place = row.nextElementSibling;
    }
  }
  for (const part of [".chart", ".facets"]) {
    const old = before.querySelector(part);
    const made = after.querySelector(part);
    if (old && made && !old.querySelector(openOrFocused)) old.replaceWith(made);
  }
}

const live = document.querySelector("[data-live]");
if (live && "EventSource" in window) {
  live.hidden = false;
  let source = null;
  let due = null;
  const show = async () => {
    due = null;
    try {
      const page = await fetchPage(location.href);
      renew(document.getElementById("results"), page.getElementById("results"));
    } catch { stop(); }
  };
  const stop = () => {
    if (source) source.close();
    source = null;
    live.setAttribute("aria-pressed", "false");
    live.textContent = "Live";
  };
  live.addEventListener("click", () => {
    if (source) return stop();
    source = new EventSource(live.dataset.live);
    source.addEventListener("audit", () => { due ??= setTimeout(show, 800); });
    source.addEventListener("end", stop);
    // A connection that was cut is made anew by itself; one that was refused is not.
    source.addEventListener("error", () => { if (source?.readyState === EventSource.CLOSED) stop(); });
    live.setAttribute("aria-pressed", "true");
    live.textContent = "Live: on";
  });
}
