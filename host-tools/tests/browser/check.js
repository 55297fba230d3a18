// Looks at each page in its frame, and leaves what is wrong as the text of the document.
"use strict";

const luminance = (colour) => {
  const channel = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const [red, green, blue] = colour.map((value) => channel(value / 255));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};

// Of Web Content Accessibility Guidelines 2.2, section 1.4.3.
const contrast = (a, b) => {
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
};

const parts = (colour) => (colour.match(/[\d.]+/g) ?? []).map(Number);

const background = (view, element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = parts(view.getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return colour.slice(0, 3);
  }
  return [255, 255, 255];
};

const lookAt = (frame) => {
  const [view, page] = [frame.contentWindow, frame.contentDocument];
  const root = page.documentElement;
  const wrong = [];
  if (page.body.children.length < 5) wrong.push("the page is empty");
  if (root.scrollWidth > root.clientWidth) {
    const beyond = [...page.body.querySelectorAll("*")].filter(
      (element) => element.getBoundingClientRect().right > root.clientWidth + 1,
    );
    wrong.push(`${root.scrollWidth} pixels wide, by ${beyond[0]?.outerHTML.slice(0, 80)}`);
  }
  for (const text of page.querySelectorAll("svg text")) {
    if (text.textContent.trim() === "") continue;
    const svg = text.closest("svg");
    const [own, picture] = [text, svg].map((own) => own.getBoundingClientRect());
    const scale = picture.width / svg.viewBox.baseVal.width;
    const isCut =
      own.left < picture.left - 2 ||
      own.right > picture.right + 2 ||
      own.top < picture.top - 2 ||
      own.bottom > picture.bottom + 2;
    if (isCut) wrong.push(`the text "${text.textContent.trim()}" is cut`);
    if (scale * parseFloat(view.getComputedStyle(text).fontSize) < 10) wrong.push(`the text "${text.textContent.trim()}" is too small`);
  }
  for (const element of page.querySelectorAll("h1, h2, h3, p, li, dt, dd, td, th, pre, figcaption, svg text")) {
    const style = view.getComputedStyle(element);
    const colour = parts(element.closest("svg") ? style.fill : style.color).slice(0, 3);
    if (contrast(colour, background(view, element)) < 4.5) {
      wrong.push(`the text "${element.textContent.trim().slice(0, 40)}" is faint`);
    }
  }
  return [...new Set(wrong)].slice(0, 5).map((what) => `${frame.title}: ${what}`);
};

window.addEventListener("load", () => {
  const frames = [...document.querySelectorAll("iframe")];
  const scheme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const wrong = frames.flatMap(lookAt);
  document.body.textContent = [`${frames.length} pages in the ${scheme}`, ...wrong].join("\n");
});
