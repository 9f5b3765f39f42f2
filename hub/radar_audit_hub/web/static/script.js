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
