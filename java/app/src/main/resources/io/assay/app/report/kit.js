// What the views of a report are made of: elements, colours, pictures by ECharts, tokens. Whatever a
// model or a user wrote reaches the page through textContent or a canvas, never as HTML.
'use strict';

const data = JSON.parse(document.getElementById('data').textContent);

// ---- small things ----

/** An element: el('p.note', {id: 'x'}, 'text', child, ...). */
function el(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split('.');
  const e = document.createElement(tag);
  if (classes.length) e.className = classes.join(' ');
  for (const [k, v] of Object.entries(attributes)) {
    if (k.startsWith('on')) e.addEventListener(k.slice(2), v);
    else if (v !== null && v !== undefined && v !== false) e.setAttribute(k, v);
  }
  e.append(...children.filter(c => c !== null && c !== undefined));
  return e;
}

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const isDark = () => document.documentElement.dataset.theme === 'dark';

/** The array that Page.java wrote as its bits. */
function array(packed) {
  const text = atob(packed.f32 ?? packed.f64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return packed.f32 !== undefined ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer);
}

/** A number as people read it: four significant digits. */
const brief = x => x === null || Number.isNaN(x) ? 'none'
    : x === 0 ? '0' : Math.abs(x) >= 1e5 || Math.abs(x) < 1e-3 ? x.toExponential(2)
    : String(Number(x.toPrecision(4)));

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) if (v < low || v > high) { low = Math.min(low, v); high = Math.max(high, v); }
  return low <= high ? [low, high] : [0, 1];
}

/** Ends of the colours: symmetric about zero where values are differences. */
function range(values, diverging) {
  const [low, high] = extent(values);
  const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
  return diverging ? [-most, most] : low === high ? [low, low + 1] : [low, high];
}

const ramp = diverging => diverging
    ? isDark() ? ['#ffb06b', '#a85a16', '#24282d', '#2b6ca6', '#8ecaff']
               : ['#9a4300', '#e29247', '#f4f2ee', '#62a1d3', '#0a4a85']
    : isDark() ? ['#20262d', '#174a73', '#2f7fbd', '#7fbdf0', '#eaf5ff']
               : ['#f2f5f8', '#bdd8ee', '#6aa9d8', '#2470b3', '#08315f'];

/** The colour of a value, and whether ink on it must be light. */
function colour(v, [low, high], diverging) {
  const stops = ramp(diverging);
  const at = Math.min(1, Math.max(0, (v - low) / (high - low))) * (stops.length - 1);
  const i = Math.min(stops.length - 2, Math.floor(at));
  const part = (hex, c) => parseInt(hex.slice(1 + 2 * c, 3 + 2 * c), 16);
  const rgb = [0, 1, 2].map(c =>
      Math.round(part(stops[i], c) + (at - i) * (part(stops[i + 1], c) - part(stops[i], c))));
  const linear = rgb.map(c => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
  const light = .2126 * linear[0] + .7152 * linear[1] + .0722 * linear[2];
  return {background: `rgb(${rgb})`, color: light > .18 ? '#000' : '#fff'};
}

const lineColours = () => isDark()
    ? ['#6db6f2', '#ffa366', '#4fc79a', '#e39cc4', '#f0d264', '#b3bac2']
    : ['#0b5cab', '#c25100', '#00795a', '#a8467f', '#8a6a00', '#59616a'];
const dashes = ['solid', [7, 4], [2, 3], [10, 3, 2, 3], 'solid', [7, 4]];

function save(name, blob) {
  const a = el('a', {href: URL.createObjectURL(blob), download: name});
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 1000);
}

const fileName = (title, type) =>
    `${data.run.run ?? 'assay'}-${title.replace(/[^\p{L}\p{N}]+/gu, '-').slice(0, 60)}.${type}`;

// ---- a picture: option() gives what ECharts draws, in the colours of the moment ----

const pictures = [];

/**
 * @param option function that returns an ECharts option
 * @param tip function from ECharts' parameters to the text of one place
 * @param across places in a row, for the arrow keys
 */
function picture(box, view, {option, tip, across = 1, square = false, onclick = () => {}}) {
  const plot = el('div.plot' + (square ? '.square' : ''), {role: 'img', tabindex: 0,
      'aria-label': `${view.title}. Arrow keys walk through the values.`});
  const said = el('p.said', {'aria-live': 'polite'});
  const node = params => el('div.tip', {}, tip(params));
  const full = () => ({
    animation: false, backgroundColor: 'transparent', color: lineColours(),
    textStyle: {fontFamily: 'system-ui, sans-serif', fontSize: 12, color: css('--soft')},
    ...option(plot),
    tooltip: {confine: true, formatter: p => node(p), backgroundColor: css('--card'),
      borderColor: css('--line'), textStyle: {color: css('--ink')}, ...option(plot).tooltip}
  });
  let chart = null, cursor = -1;
  const self = {
    draw() {
      const first = chart === null;
      if (first) {
        chart = echarts.init(plot);
        chart.on('click', onclick);
        new ResizeObserver(() => chart.resize()).observe(plot);
        const done = () => {
          chart.off('finished', done);
          requestAnimationFrame(() => requestAnimationFrame(() => performance.mark(view.title)));
        };
        chart.on('finished', done);
      }
      chart.setOption(full(), true);
    },
    redraw() { if (chart) self.draw(); },
    svg() {
      const still = echarts.init(null, null,
          {renderer: 'svg', ssr: true, width: plot.clientWidth, height: plot.clientHeight});
      still.setOption({...full(), backgroundColor: css('--card'), tooltip: {show: false}});
      const text = still.renderToSVGString();
      still.dispose();
      return text;
    },
    png() {
      self.draw();
      return chart.getDataURL({type: 'png', pixelRatio: 2, backgroundColor: css('--card')});
    },
  };
  plot.addEventListener('keydown', e => {
    const step = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across}[e.key];
    if (e.key === 'Escape') chart.dispatchAction({type: 'hideTip'});
    if (e.key === 'Enter' && cursor >= 0) onclick({dataIndex: cursor});
    if (!step || !chart) return;
    e.preventDefault();
    const size = chart.getOption().series[0].data.length;
    cursor = cursor < 0 ? 0 : Math.min(size - 1, Math.max(0, cursor + step));
    chart.dispatchAction({type: 'showTip', seriesIndex: 0, dataIndex: cursor});
    const item = {dataIndex: cursor, seriesIndex: 0, data: chart.getOption().series[0].data[cursor],
        value: chart.getOption().series[0].data[cursor]};
    said.textContent = tip(Array.isArray(full().tooltip.trigger) ? [item] : item);
  });
  (box.querySelector('.head') ?? box).append(el('div.tools', {},
      el('button', {type: 'button', 'aria-label': 'Save as SVG: ' + view.title,
        onclick: () => save(fileName(view.title, 'svg'), new Blob([self.svg()], {type: 'image/svg+xml'}))}, 'SVG'),
      el('button', {type: 'button', 'aria-label': 'Save as PNG: ' + view.title,
        onclick: () => el('a', {href: self.png(), download: fileName(view.title, 'png')}).click()}, 'PNG')));
  box.append(plot, said);
  plot.picture = self;
  pictures.push(self);
  // What is far down the page is drawn when the reader comes near.
  new IntersectionObserver((entries, watch) => {
    if (entries.some(e => e.isIntersecting)) { watch.disconnect(); self.draw(); }
  }, {rootMargin: '400px'}).observe(plot);
  addEventListener('beforeprint', () => self.draw());
  return self;
}

const named = (axis, more = {}) => ({
  name: axis.name, nameLocation: 'middle', nameTextStyle: {color: css('--soft')},
  axisLine: {lineStyle: {color: css('--line')}}, axisTick: {show: false},
  axisLabel: {color: css('--soft'), hideOverlap: true, width: 90, overflow: 'truncate'},
  splitLine: {lineStyle: {color: css('--grid')}}, ...more,
});

const scale = (bounds, diverging, unit) => ({
  type: 'continuous', min: bounds[0], max: bounds[1], dimension: 2, hoverLink: false,
  orient: 'horizontal', left: 'center', bottom: 0, itemWidth: 12, itemHeight: 180, precision: 3,
  text: [brief(bounds[1]) + (unit ? ' ' + unit : ''), brief(bounds[0])],
  formatter: brief, textStyle: {color: css('--soft')}, inRange: {color: ramp(diverging)},
});

/** A matrix of colours, where there is room on `plot` with numbers; axis labels longer than it is wide are turned. */
function matrix(y, x, cells, bounds, diverging, unit, plot) {
  const longest = labels => Math.min(12, Math.max(...labels.map(l => l.length), 1));
  const turned = x.labels.length * longest(x.labels) > 90;
  const left = 24 + 7.5 * longest(y.labels), right = 16, top = 12;
  const bottom = 78 + (turned ? 6 * longest(x.labels) : 0);
  // Three digits of the largest number; the room is asked for at each drawing, since windows change.
  const most = Math.max(Math.abs(bounds[0]), Math.abs(bounds[1]));
  const digits = Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(most))));
  const widest = 7 * Math.max(...bounds.map(v => v.toFixed(digits).length)) + 6;
  const fits = () => (plot.clientWidth - left - right) / x.labels.length >= widest
      && (plot.clientHeight - top - bottom) / y.labels.length >= 15;
  const label = plot && cells.length < 3000 ? {show: true, fontSize: 11,
    formatter: p => p.value[2] !== '-' && fits() ? p.value[2].toFixed(digits) : ''} : {};
  return {
    grid: {left, right, top, bottom, containLabel: false},
    xAxis: {type: 'category', data: x.labels, ...named(x, {nameGap: turned ? 20 + 6 * longest(x.labels) : 26}),
      axisLabel: {...named(x).axisLabel, rotate: turned ? 60 : 0}, splitLine: {show: false}},
    yAxis: {type: 'category', data: y.labels, inverse: true,
      ...named(y, {nameGap: 10 + 7.5 * longest(y.labels)}), splitLine: {show: false}},
    visualMap: scale(bounds, diverging, unit),
    series: [{type: 'heatmap', data: cells, progressive: 0, label,
      itemStyle: cells.length < 3000 ? {borderWidth: 1, borderColor: css('--card')} : {},
      emphasis: {itemStyle: {borderColor: css('--ink'), borderWidth: 2}}}],
  };
}

// ---- curves of many points ----

/** Indices of a curve by the column of the picture in which they fall, on the scale of its axis. */
function columns(x, place) {
  const most = 4000, byColumn = [];
  const [first, last] = extent(Array.from(x, place).filter(Number.isFinite));
  let column = -1;
  for (let i = 0; i < x.length; i++) {
    const at = x.length <= most ? i : Math.floor((place(x[i]) - first) / (last - first) * most);
    if (at !== column) byColumn.push([]);
    column = at;
    byColumn.at(-1).push(i);
  }
  return byColumn;
}

/** The points that a picture can show: the first, the least, the greatest and the last of a column. */
function thinned(line, place, seen) {
  return columns(line.x, place).flatMap(column => {
    const shown = column.filter(i => seen(line.x[i], line.y[i]));
    if (!shown.length) return Number.isFinite(place(line.x[column[0]])) ? [[line.x[column[0]], '-']] : [];
    const by = better => shown.reduce((a, b) => better(line.y[b], line.y[a]) ? b : a);
    const kept = new Set([shown[0], by((a, b) => a < b), by((a, b) => a > b), shown.at(-1)]);
    return [...kept].sort((a, b) => a - b).map(i => [line.x[i], line.y[i]]);
  });
}

/** A band as one polygon, through the widest place of each column. */
function band(line, hue, place, seen) {
  const edge = columns(line.x, place).flatMap(column => {
    const shown = column.filter(i => seen(line.x[i], line.low[i]) && seen(line.x[i], line.high[i]));
    return shown.length ? [[line.x[shown[0]], Math.min(...shown.map(i => line.low[i])),
      Math.max(...shown.map(i => line.high[i]))]] : [];
  });
  return {type: 'custom', name: line.name, silent: true, z: 1, clip: true, data: edge.slice(0, 1),
    encode: {x: 0, y: [1, 2]}, itemStyle: {color: hue},
    renderItem: (params, api) => ({type: 'polygon', shape: {points: [
      ...edge.map(p => api.coord([p[0], p[1]])), ...edge.toReversed().map(p => api.coord([p[0], p[2]]))]},
      style: {fill: hue, opacity: .18}})};
}

// ---- tokens ----

const repaint = [];
const markNames = {FIXED: 'given', NONE: 'searched', CHANGED: 'changed', OUTPUT: 'output'};

function tokens(list) {
  return list.map((t, i) => el(`span.tok.${t.mark}`
      + (t.mark === 'OUTPUT' && i > 0 && list[i - 1].mark !== 'OUTPUT' ? '.first' : ''), {}, t.text));
}

/** Tokens in a row; with {@code choose} they are buttons, one of which is pressed. */
function tokenList(list, choose) {
  const spans = tokens(list);
  const box = el('div.tokens' + (choose ? '.long' : ''), choose ? {role: 'group', 'aria-label': 'tokens'} : {}, ...spans);
  let at = 0;
  const press = i => {
    spans[at].setAttribute('aria-pressed', 'false');
    spans[at].tabIndex = -1;
    at = i;
    spans[at].setAttribute('aria-pressed', 'true');
    spans[at].tabIndex = 0;
  };
  if (choose) {
    spans.forEach((s, i) => {
      s.setAttribute('role', 'button');
      s.setAttribute('aria-pressed', 'false');
      s.addEventListener('click', () => choose(i));
      s.addEventListener('pointerenter', e => e.pointerType === 'mouse' && choose(i));
    });
    box.addEventListener('keydown', e => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[e.key];
      if (!step) return;
      e.preventDefault();
      choose(Math.min(spans.length - 1, Math.max(0, at + step)));
      spans[at].focus();
    });
  }
  return {box, press, colour(values, bounds, diverging, unit = '') {
    spans.forEach((s, i) => {
      const none = values[i] === null || Number.isNaN(values[i]);
      Object.assign(s.style, none ? {background: '', color: ''} : colour(values[i], bounds, diverging));
      s.title = none ? '' : `${brief(values[i])} ${unit}`;
    });
  }};
}
