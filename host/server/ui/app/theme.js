// Runs before anything is painted, so that no page flashes in the other colours.
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "auto";
