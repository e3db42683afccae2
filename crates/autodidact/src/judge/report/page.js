"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  const svgSpace = document.getElementById("svg").namespaceURI;

  // Numbers as the rest of the page writes them.
  const short = (value) => {
    const size = Math.abs(value);
    if (size === 0) return "0";
    if (size >= 1000) return value.toFixed(0);
    if (size >= 0.001) return value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(size))));
    return value.toExponential(1);
  };
  // Round numbers at even distances that span from low to high, about `count` of them.
  const ticks = (low, high, count) => {
    const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((times) => times * power).find((step) => step >= raw);
    const found = [];
    for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at++) found.push(at * step);
    return { found, step };
  };
  const label = (value, step) => {
    if (Math.abs(value) < step * 1e-6) return "0";
    if (Math.abs(value) >= 1e5 || step < 1e-4) return value.toExponential(1);
    return value.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  };

  // Curves.
  const chartOf = ({ part, chart }) => (part === undefined ? data.charts : data.recorded[part].charts)[chart];
  const draw = (place) => {
    const chart = chartOf(place.dataset);
    const points = chart.lines.flatMap((line) => line.points);
    const width = place.clientWidth, height = place.clientHeight;
    if (!points.length || width < 40) return;
    const ends = (axis) => [Math.min(...points.map((p) => p[axis])), Math.max(...points.map((p) => p[axis]))];
    let [first, last] = ends(0), [low, high] = ends(1);
    if (first === last) { first -= 1; last += 1; }
    const room = high > low ? 0.06 * (high - low) : Math.abs(high) * 0.1 || 1;
    if (!(low === 0 && high > low)) low = low >= 0 ? Math.max(0, low - room) : low - room;
    high += room;
    const levels = ticks(low, high, 4), steps = ticks(first, last, Math.max(3, Math.floor(width / 60)));
    const texts = levels.found.map((level) => label(level, levels.step));
    const left = 10 + 7 * Math.max(...texts.map((text) => text.length)), right = 8, top = 8, bottom = 22;
    const x = (step) => left + (step - first) / (last - first) * (width - left - right);
    const y = (value) => height - bottom - (value - low) / (high - low) * (height - top - bottom);
    const svg = document.createElementNS(svgSpace, "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("aria-hidden", "true");
    const put = (name, attributes, text) => {
      const node = document.createElementNS(svgSpace, name);
      for (const key in attributes) node.setAttribute(key, attributes[key]);
      if (text !== undefined) node.textContent = text;
      svg.append(node);
      return node;
    };
    for (const [from, to] of chart.bands) {
      const start = Math.max(x(from), left), end = Math.min(x(to), width - right);
      if (end > left && start < width - right) put("rect", { x: start, y: top, width: Math.max(1.5, end - start), height: height - top - bottom, class: "band" });
    }
    levels.found.forEach((level, i) => {
      put("line", { x1: left, x2: width - right, y1: y(level), y2: y(level), class: "rule" });
      put("text", { x: left - 6, y: y(level) + 4, "text-anchor": "end" }, texts[i]);
    });
    for (const step of steps.found) {
      const anchor = x(step) > width - 30 ? "end" : x(step) < left + 12 ? "start" : "middle";
      put("text", { x: x(step), y: height - 5, "text-anchor": anchor }, label(step, steps.step));
    }
    const cursor = put("line", { y1: top, y2: height - bottom, class: "cursor", visibility: "hidden" });
    chart.lines.forEach((line, i) => {
      const stroke = `var(--line-${i % 5})`;
      const path = line.points.map(([step, value], at) => `${at ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`);
      put("path", { d: path.join(""), style: `stroke:${stroke}` });
      // A few looks are seen better as dots.
      if (line.points.length <= 30)
        for (const [step, value] of line.points) put("circle", { cx: x(step), cy: y(value), r: 2.6, style: `fill:${stroke}` });
    });
    const read = document.createElement("div");
    read.className = "read";
    read.hidden = true;
    place.replaceChildren(svg, read);
    const all = [...new Set(points.map((point) => point[0]))].sort((a, b) => a - b);
    let at = -1;
    const show = (index) => {
      at = Math.max(0, Math.min(all.length - 1, index));
      const step = all[at];
      cursor.setAttribute("x1", x(step));
      cursor.setAttribute("x2", x(step));
      cursor.setAttribute("visibility", "visible");
      read.replaceChildren(`step ${Math.round(step)}`);
      chart.lines.forEach((line, i) => {
        // The point nearest to the step: curves are not all written at the same steps.
        const near = line.points.reduce((a, b) => (Math.abs(b[0] - step) < Math.abs(a[0] - step) ? b : a));
        const row = document.createElement("div"), mark = document.createElement("i");
        mark.style.background = `var(--line-${i % 5})`;
        const where = Math.round(near[0]) === Math.round(step) ? "" : ` (step ${Math.round(near[0])})`;
        row.append(mark, `${line.name} ${short(near[1])}${where}`);
        read.append(row);
      });
      read.hidden = false;
      read.style.left = `${Math.max(0, Math.min(width - read.offsetWidth, x(step) + 10))}px`;
      if (x(step) + 10 + read.offsetWidth > width) read.style.left = `${Math.max(0, x(step) - 10 - read.offsetWidth)}px`;
    };
    const hide = () => { read.hidden = true; cursor.setAttribute("visibility", "hidden"); };
    place.onpointermove = place.onpointerdown = (event) => {
      const step = first + (event.clientX - place.getBoundingClientRect().left - left) / (width - left - right) * (last - first);
      show(all.reduce((best, value, i) => (Math.abs(value - step) < Math.abs(all[best] - step) ? i : best), 0));
    };
    place.onpointerleave = place.onblur = hide;
    place.onkeydown = (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, Home: -all.length, End: all.length }[event.key];
      if (by === undefined) return;
      event.preventDefault();
      show(at < 0 ? 0 : at + by);
    };
  };
  for (const place of document.querySelectorAll(".plot")) {
    const chart = chartOf(place.dataset);
    if (chart.lines.length > 1) {
      const key = document.createElement("div");
      key.className = "key";
      chart.lines.forEach((line, i) => {
        const item = document.createElement("span"), mark = document.createElement("i");
        mark.style.background = `var(--line-${i % 5})`;
        item.append(mark, line.name);
        key.append(item);
      });
      place.before(key);
    }
    new ResizeObserver(() => draw(place)).observe(place);
  }

  // Which of some points an arrow key leads to: past the ends around, and from none to the first or the last.
  const stepped = (points, from, by) => {
    const at = points.indexOf(from);
    return points[at < 0 ? (by < 0 ? points.length - 1 : 0) : (at + by + points.length) % points.length];
  };
  // The map.
  const map = data.map;
  if (!map) return;
  const plane = document.getElementById("plane"), tip = document.getElementById("tip"), sheet = document.getElementById("sheet");
  const thumb = document.getElementById("thumb"), legend = document.getElementById("legend");
  const ten = ["#4e8fd0", "#f28e2b", "#e15759", "#35aaa3", "#5aa84f", "#d9b31c", "#b07aa1", "#ff86a5", "#a5744f", "#8d949e"];
  const hue = (c) => (map.classes.length <= 10 ? ten[c] : `hsl(${(c * 137.508) % 360} ${c % 2 ? 70 : 55}% ${[52, 62, 45][c % 3]}%)`);
  const counts = map.classes.map((_, c) => map.points.filter((point) => point[2] === c).length);
  let only = null, marked = -1, places = [];
  const paint = () => {
    const width = plane.clientWidth, height = plane.clientHeight, sharp = devicePixelRatio || 1;
    plane.width = width * sharp;
    plane.height = height * sharp;
    const ink = plane.getContext("2d");
    ink.scale(sharp, sharp);
    // Alike in both directions, in the middle.
    const size = Math.min(width, height) - 24, stretch = Math.min(1.25, (width - 24) / size);
    places = map.points.map(([x, y]) => [width / 2 + (x - 0.5) * size * stretch, height / 2 + (y - 0.5) * size]);
    const radius = map.points.length > 1200 ? 3 : map.points.length > 300 ? 3.8 : 5;
    const plain = color("--accent"), dim = color("--line");
    const shown = (i) => only === null || map.points[i][2] === only;
    for (const pass of [false, true])
      places.forEach(([x, y], i) => {
        if (shown(i) !== pass) return;
        ink.beginPath();
        ink.arc(x, y, radius, 0, 7);
        ink.fillStyle = !pass ? dim : map.points[i][2] < 0 ? plain : hue(map.points[i][2]);
        ink.globalAlpha = 0.85;
        ink.fill();
      });
    ink.globalAlpha = 1;
    if (marked >= 0) {
      ink.beginPath();
      ink.arc(...places[marked], radius + 3, 0, 7);
      ink.strokeStyle = color("--ink");
      ink.lineWidth = 2;
      ink.stroke();
    }
  };
  const mark = (index) => {
    if (index === marked) return;
    marked = index;
    tip.hidden = index < 0;
    paint();
    if (index < 0) return;
    const of = map.points[index][2], [x, y] = places[index];
    if (sheet && map.edge) {
      thumb.width = thumb.height = map.edge;
      const left = (index % map.columns) * map.edge, top = Math.floor(index / map.columns) * map.edge;
      thumb.getContext("2d").drawImage(sheet, left, top, map.edge, map.edge, 0, 0, map.edge, map.edge);
    }
    tip.querySelector("strong").textContent = of < 0 ? "" : map.classes[of];
    tip.querySelector("span").textContent = map.names[index];
    const left = x + 14 + tip.offsetWidth > plane.clientWidth ? x - 14 - tip.offsetWidth : x + 14;
    tip.style.left = `${Math.max(0, left)}px`;
    tip.style.top = `${Math.max(0, Math.min(plane.clientHeight - tip.offsetHeight, y - tip.offsetHeight / 2))}px`;
  };
  plane.onpointermove = plane.onpointerdown = (event) => {
    const box = plane.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    let best = -1, least = event.pointerType === "touch" ? 900 : 260;
    places.forEach(([px, py], i) => {
      const far = (px - x) ** 2 + (py - y) ** 2;
      if (far < least && (only === null || map.points[i][2] === only)) [best, least] = [i, far];
    });
    mark(best);
  };
  plane.onpointerleave = (event) => { if (event.pointerType !== "touch") mark(-1); };
  plane.onkeydown = (event) => {
    const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (event.key === "Escape") mark(-1);
    if (by === undefined) return;
    event.preventDefault();
    // Of the points of one class only, where the others are dimmed.
    const shown = map.points.map((_, i) => i).filter((i) => only === null || map.points[i][2] === only);
    if (shown.length) mark(stepped(shown, marked, by));
  };
  const present = map.classes.map((_, c) => c).filter((c) => counts[c]);
  const listed = present.sort((a, b) => counts[b] - counts[a] || a - b).slice(0, 30).sort((a, b) => a - b);
  if (!present.length) legend.hidden = true;
  for (const c of listed) {
    const button = document.createElement("button"), dot = document.createElement("i"), count = document.createElement("small");
    dot.style.background = hue(c);
    count.textContent = counts[c];
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.append(dot, map.classes[c], count);
    button.onclick = () => {
      only = only === c ? null : c;
      for (const other of legend.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button && only === c));
      mark(-1);
      paint();
    };
    legend.append(button);
  }
  if (present.length > listed.length) {
    const rest = document.createElement("p");
    rest.textContent = `and ${present.length - listed.length} smaller classes`;
    legend.append(rest);
  }
  new ResizeObserver(() => { mark(-1); paint(); }).observe(plane);
  matchMedia("(prefers-color-scheme: dark)").onchange = paint;
})();
