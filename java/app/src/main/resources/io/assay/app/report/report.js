// The views of a report, one for each record in View.java, and the page around them.

// ---- the views ----

const views = {
  HeatMap(box, view) {
    const values = array(view.values), bounds = range(values, view.diverging);
    const width = view.x.labels.length, size = view.y.labels.length * width;
    let slice = 0;
    const cells = () => Array.from(values.subarray(slice * size, (slice + 1) * size),
        (v, i) => [i % width, Math.floor(i / width), Number.isNaN(v) ? '-' : v]);
    const drawn = {
      across: width,
      option: plot => matrix(view.y, view.x, cells(), bounds, view.diverging, view.unit, plot),
      tip: p => {
        const [x, y] = [p.dataIndex % width, Math.floor(p.dataIndex / width)];
        return `${view.y.name} ${view.y.labels[y]}, ${view.x.name} ${view.x.labels[x]}`
            + (view.slices ? `, ${view.slices.name} ${view.slices.labels[slice]}` : '')
            + `: ${brief(values[slice * size + p.dataIndex])} ${view.unit}`;
      },
    };
    if (view.slices) {
      const shown = el('output', {}, view.slices.labels[0]);
      const slider = el('input', {type: 'range', min: 0, max: view.slices.labels.length - 1, value: 0,
        oninput: () => {
          slice = Number(slider.value);
          shown.textContent = view.slices.labels[slice];
          slider.setAttribute('aria-valuetext', view.slices.labels[slice]);
          pic.redraw();
        }});
      box.append(el('div.tools', {}, el('label', {}, view.slices.name, slider, shown)));
    }
    const pic = picture(box, view, drawn);
  },

  Attention(box, view) {
    const all = array(view.values), n = view.tokens.length, most = 96;
    let head = 0, asked = n - 1, window = [0, n, 0, n];
    const at = (q, k) => all[(head * n + q) * n + k];
    const heads = el('select', {onchange: () => { head = heads.selectedIndex; pic.redraw(); paint(); }},
        ...view.heads.map(h => el('option', {}, h)));
    const back = el('button', {type: 'button', hidden: '', onclick: () => open(0, n, 0, n)},
        'Whole pattern');
    // Tiles of the window: [first query, end, first key, end, largest weight, its query, its key].
    let tiles = [];
    function cut() {
      const [q0, q1, k0, k1] = window;
      const tall = Math.ceil((q1 - q0) / most), wide = Math.ceil((k1 - k0) / most);
      tiles = [];
      for (let q = q0; q < q1; q += tall) {
        for (let k = k0; k < k1; k += wide) {
          const tile = [q, Math.min(q + tall, q1), k, Math.min(k + wide, k1), -1, q, k];
          for (let i = tile[0]; i < tile[1]; i++) {
            for (let j = tile[2]; j < tile[3]; j++) {
              const v = at(i, j);
              if (v > tile[4]) { tile[4] = v; tile[5] = i; tile[6] = j; }
            }
          }
          tiles.push(tile);
        }
      }
      return {rows: Math.ceil((q1 - q0) / tall), columns: Math.ceil((k1 - k0) / wide), tall, wide};
    }
    const label = (first, step) => step === 1 ? `${first} ${view.tokens[first]}` : String(first);
    const spot = (q, k) => `${brief(at(q, k))} from query ${q} '${view.tokens[q]}' to key ${k} '${view.tokens[k]}'`;
    function open(q0, q1, k0, k1) {
      window = [q0, q1, k0, k1];
      back.hidden = q1 - q0 === n && k1 - k0 === n;
      pic.redraw();
    }
    const drawn = {
      square: true,
      get across() { return cut().columns; },
      option: () => {
        const grid = cut();
        const cells = tiles.map((t, i) =>
            [i % grid.columns, Math.floor(i / grid.columns), t[4] < 0 ? '-' : t[4]]);
        const axis = (name, count, first, step) => ({name,
          labels: Array.from({length: count}, (_, i) => label(first + i * step, step))});
        return matrix(axis('query token', grid.rows, window[0], grid.tall),
            axis('key token', grid.columns, window[2], grid.wide), cells, [0, 1], false, '');
      },
      tip: p => {
        const t = tiles[p.dataIndex];
        return t[1] - t[0] === 1 && t[3] - t[2] === 1 ? spot(t[0], t[2])
            : `queries ${t[0]} to ${t[1] - 1}, keys ${t[2]} to ${t[3] - 1}\nlargest: ${spot(t[5], t[6])}`;
      },
      onclick: p => {
        const t = tiles[p.dataIndex];
        if (!t) return;
        ask(t[5]);
        if (t[1] - t[0] === 1 && t[3] - t[2] === 1) return;
        const side = Math.max(32, Math.round((window[1] - window[0]) / 8));
        const from = middle => Math.max(0, Math.min(n - side, Math.round(middle - side / 2)));
        const [q, k] = [from((t[0] + t[1]) / 2), from((t[2] + t[3]) / 2)];
        open(q, Math.min(n, q + side), k, Math.min(n, k + side));
      },
    };
    box.append(el('div.tools', {}, view.heads.length > 1 ? el('label', {}, 'head', heads) : null, back));
    const pic = picture(box, view, drawn);
    const said = el('p.said', {'aria-live': 'polite'});
    const words = tokenList(view.tokens.map(text => ({text, mark: 'NONE'})), ask);
    box.append(said, words.box);
    function paint() {
      words.colour(Array.from({length: n}, (_, k) => at(asked, k)), [0, 1], false);
      said.textContent = `What token ${asked} '${view.tokens[asked]}' attends to, by colour from 0 to 1.`
          + ' Point at another token, or choose it, to ask.';
    }
    function ask(q) { asked = q; words.press(q); paint(); }
    ask(asked);
    repaint.push(paint);
  },

  Lines(box, view) {
    const lines = view.lines.map(l => ({...l, x: array(l.x), y: array(l.y),
      low: l.low && array(l.low), high: l.high && array(l.high)}));
    const place = view.logX ? Math.log : x => x;
    const seen = (x, y) => Number.isFinite(place(x)) && !(view.logY && !(y > 0)) && !Number.isNaN(y);
    const points = lines.map(l => thinned(l, place, seen));
    const whole = lines.every(l => l.x.every(Number.isInteger));
    const total = points.reduce((sum, p) => sum + p.length, 0);
    picture(box, view, {
      option: () => ({
        grid: {left: 72, right: 24, top: lines.length > 1 ? 40 : 16, bottom: total > 1000 ? 88 : 48},
        legend: lines.length > 1 ? {type: 'scroll', top: 0, textStyle: {color: css('--ink')},
          data: lines.map(l => l.name)} : undefined,
        xAxis: {type: view.logX ? 'log' : 'value', scale: true, minInterval: whole ? 1 : 0,
          ...view.logX ? {min: 'dataMin', max: 'dataMax'} : {},
          ...named({name: view.x}, {nameGap: 28, splitLine: {show: false}})},
        yAxis: {type: view.logY ? 'log' : 'value', scale: true, ...named({name: view.y}, {nameGap: 54}),
          axisLabel: {color: css('--soft'), formatter: brief}},
        dataZoom: total > 1000 ? [{type: 'slider', bottom: 8, height: 22, filterMode: 'none'}] : [],
        tooltip: {trigger: 'axis', axisPointer: {lineStyle: {color: css('--soft')}}},
        series: [
          ...lines.map((l, i) => ({type: 'line', name: l.name, data: points[i],
            showSymbol: l.x.length <= 60, symbolSize: 5, symbol: 'circle',
            itemStyle: {color: lineColours()[i % 6]},
            lineStyle: {width: 2, color: lineColours()[i % 6], type: dashes[i % 6]}})),
          ...lines.flatMap((l, i) => l.low ? [band(l, lineColours()[i % 6], place, seen)] : []),
        ],
      }),
      tip: p => {
        const items = (Array.isArray(p) ? p : [p]).filter(q => lines[q.seriesIndex]);
        if (!items.length) return '';
        return `${view.x}: ${brief(items[0].value[0])}\n` + items.map(q =>
            `${lines[q.seriesIndex].name}: ${q.value[1] === '-' ? 'none' : brief(q.value[1])}`).join('\n');
      },
    });
  },

  Bars(box, view) {
    const values = array(view.values), marks = new Set(view.marks);
    const some = (of, name, hue) => ({type: 'bar', name, stack: 'all', itemStyle: {color: hue},
      barCategoryGap: '15%', barMaxWidth: 48, data: Array.from(values, (v, i) => of(i) ? v : '-')});
    picture(box, view, {
      option: () => ({
        grid: {left: 64, right: 16, top: view.marked ? 40 : 16, bottom: 48},
        legend: view.marked ? {top: 0, textStyle: {color: css('--ink')}} : undefined,
        xAxis: {type: 'category', data: view.labels, ...named({name: view.x}, {nameGap: 28})},
        yAxis: {type: 'value', ...named({name: view.y}, {nameGap: 46}),
          axisLabel: {color: css('--soft'), formatter: brief}},
        series: view.marked
            ? [some(i => marks.has(i), view.marked, lineColours()[1]), some(i => !marks.has(i), 'others', lineColours()[0])]
            : [some(() => true, view.y, lineColours()[0])],
      }),
      tip: p => `${view.x} ${view.labels[p.dataIndex]}: ${brief(values[p.dataIndex])}`
          + (marks.has(p.dataIndex) ? ` (${view.marked})` : ''),
    });
  },

  Table(box, view) {
    const shownAtFirst = 100;
    let rows = view.rows.map((cells, rank) => ({cells, rank})), sorted = -1, up = false, all = false;
    const plain = c => c === null ? '' : Array.isArray(c) ? c.map(t => t.text).join('') : String(c);
    const found = el('span.said', {'aria-live': 'polite'});
    const search = el('input', {type: 'search', placeholder: 'Search', 'aria-label': 'Search: ' + view.title,
      oninput: () => fill()});
    const more = el('button', {type: 'button', onclick: () => { all = true; fill(); }}, 'Show all rows');
    const isNumber = c => view.rows.some(r => typeof r[c] === 'number')
        && view.rows.every(r => r[c] === null || typeof r[c] === 'number');
    const numbers = view.columns.map((_, c) => isNumber(c));
    const heads = view.columns.map((column, c) => el('th' + (numbers[c] ? '.n' : ''), {scope: 'col'},
        el('button', {type: 'button', onclick: () => sort(c)}, column.name,
            column.unit ? el('small', {}, column.unit) : null)));
    const body = el('tbody');
    function sort(c) {
      up = sorted === c ? !up : !numbers[c];
      sorted = c;
      const sign = up ? 1 : -1;
      rows.sort((a, b) => {
        const [x, y] = [a.cells[c], b.cells[c]];
        if (x === null || y === null) return (x === null) - (y === null) || a.rank - b.rank;
        return sign * (typeof x === 'number' ? x - y : plain(x).localeCompare(plain(y))) || a.rank - b.rank;
      });
      heads.forEach((h, i) => i === c ? h.setAttribute('aria-sort', up ? 'ascending' : 'descending')
          : h.removeAttribute('aria-sort'));
      fill();
    }
    function cell(value, c) {
      const {digits} = view.columns[c];
      if (numbers[c]) {
        return el('td.n', value === null ? {} : {'data-value': value, title: value},
            value === null ? '' : value.toFixed(digits));
      }
      if (typeof value === 'boolean') return el(value ? 'td.yes' : 'td.no', {}, value ? 'yes' : 'no');
      if (Array.isArray(value)) return el('td.tokens', {}, ...tokens(value));
      return el('td', {}, value ?? '');
    }
    function fill() {
      const wanted = search.value.toLowerCase();
      const hits = rows.filter(r => !wanted || r.cells.some(c => plain(c).toLowerCase().includes(wanted)));
      const shown = all ? hits : hits.slice(0, shownAtFirst);
      body.replaceChildren(...shown.map(r => el('tr', {}, ...r.cells.map(cell))));
      more.hidden = shown.length === hits.length;
      found.textContent = wanted || shown.length < rows.length
          ? `${shown.length} of ${rows.length} rows shown` : '';
    }
    const csv = () => [view.columns.map(c => c.name), ...rows.map(r => r.cells.map(plain))]
        .map(r => r.map(c => `"${c.replaceAll('"', '""')}"`).join(',')).join('\r\n');
    const long = view.rows.length > 8;
    const used = new Set(view.rows.flatMap(r => r.filter(Array.isArray).flat().map(t => t.mark)));
    const key = used.size > 1 ? [el('p.legend', {}, ...Object.entries(markNames).filter(([m]) => used.has(m))
        .flatMap(([m, name]) => [el('span.tok.' + m, {}, name), ' ']))] : [];
    box.append(el('div.tools', {}, long ? search : null,
        el('button', {type: 'button', 'aria-label': 'Save as CSV: ' + view.title,
          onclick: () => save(fileName(view.title, 'csv'), new Blob([csv()], {type: 'text/csv'}))}, 'CSV'), found), ...key,
        el('div.wide', {tabindex: 0, role: 'region', 'aria-label': view.title},
            el('table', {}, el('thead', {}, el('tr', {}, ...heads)), body)), more);
    fill();
  },

  TokenText(box, view) {
    const values = view.tokens.map(t => t.value);
    const words = tokenList(view.tokens);
    box.append(words.box);
    if (values.every(v => v === null)) return;
    const bounds = range(values.filter(v => v !== null), view.diverging);
    const bar = el('i');
    box.append(el('div.scale', {}, brief(bounds[0]), bar, `${brief(bounds[1])} ${view.unit}`));
    const paint = () => {
      words.colour(values, bounds, view.diverging, view.unit);
      bar.style.background = `linear-gradient(to right, ${ramp(view.diverging)})`;
    };
    paint();
    repaint.push(paint);
  },

  Circuit(box, view) {
    const groups = [...new Set(view.nodes.map(node => node.group))];
    const shapes = ['circle', 'rect', 'diamond', 'triangle', 'roundRect', 'pin'];
    const most = Math.max(...view.edges.map(e => Math.abs(e.weight)), 1e-30);
    const place = axis => ({type: 'value', min: -1, max: axis.labels.length, interval: 1,
      ...named(axis, {nameGap: 30, splitLine: {show: false}}),
      axisLabel: {color: css('--soft'), formatter: v => axis.labels[v] ?? ''}});
    picture(box, view, {
      option: () => ({
        grid: {left: 64, right: 40, top: 44, bottom: 52},
        legend: {top: 0, data: groups, textStyle: {color: css('--ink')}},
        xAxis: place(view.x), yAxis: place(view.y),
        series: [{type: 'graph', coordinateSystem: 'cartesian2d', symbolSize: 16,
          categories: groups.map((name, i) => ({name, symbol: shapes[i % 6],
            itemStyle: {color: lineColours()[i % 6]}})),
          label: {show: true, position: 'right', color: css('--ink'), formatter: p => p.name},
          labelLayout: {hideOverlap: true}, edgeSymbol: ['none', 'arrow'], edgeSymbolSize: 7,
          data: view.nodes.map((node, i) => ({id: String(i), name: node.name, value: [node.x, node.y],
            category: groups.indexOf(node.group)})),
          links: view.edges.map(e => ({source: String(e.from), target: String(e.to), value: e.weight,
            lineStyle: {color: lineColours()[e.weight < 0 ? 1 : 0], width: 1 + 5 * Math.abs(e.weight) / most,
              type: e.weight < 0 ? [6, 4] : 'solid', curveness: .12, opacity: .75}}))}],
      }),
      tip: p => p.dataType === 'edge'
          ? `${view.nodes[p.data.source].name} to ${view.nodes[p.data.target].name}: ${brief(p.data.value)} ${view.unit}`
          : `${view.nodes[p.dataIndex].name} (${view.nodes[p.dataIndex].group})`,
    });
    box.append(el('p.legend', {}, `Blue, whole lines raise the value; orange, broken lines lower it. The widest is ${brief(most)} ${view.unit}.`));
  },

  Pair(box, view) {
    const side = inner => {
      const place = el('div', {}, el('h3', {}, inner.title), inner.note ? el('p', {}, inner.note) : null);
      views[inner.kind](place, inner);
      return place;
    };
    box.append(el('div.pair', {}, side(view.before), side(view.after)));
  },
};

// ---- the page ----

function theme(name) {
  document.documentElement.dataset.theme = name;
  pictures.forEach(p => p.redraw());
  repaint.forEach(p => p());
}
const system = matchMedia('(prefers-color-scheme: dark)');
theme(system.matches ? 'dark' : 'light');
system.addEventListener('change', () => theme(system.matches ? 'dark' : 'light'));

function record() {
  const run = data.run, list = el('dl.record');
  const say = (name, value) => {
    if (value === null || value === undefined || value === '' || value.length === 0) return;
    list.append(el('dt', {}, name), el('dd', {'data-name': name},
        typeof value === 'object' ? JSON.stringify(value) : String(value)));
  };
  say('run', run.run);
  say('method', run.method);
  say('model', run.model?.name);
  say('model SHA-256', run.model?.sha256);
  Object.entries(run.spec ?? {}).forEach(([k, v]) => { if (k !== 'model') say(k, v); });
  Object.entries(run.device ?? {}).forEach(([k, v]) => say('device ' + k, v));
  Object.entries(run.metrics ?? {}).forEach(([k, v]) => say(k, v));
  say('seconds', run.seconds);
  say('Assay', run.assay);
  return el('section', {id: 'record'}, el('div.head', {}, el('h2', {}, 'Record of the run'),
      el('button', {type: 'button', onclick: () => save(fileName('run', 'json'),
          new Blob([JSON.stringify(run, null, 1)], {type: 'application/json'}))}, 'JSON')), list);
}

const main = el('main', {id: 'main'});
document.body.prepend(
    el('header', {},
        el('a.skip', {href: '#main'}, 'Skip to the results'),
        el('button.theme', {type: 'button', onclick: () => theme(isDark() ? 'light' : 'dark')}, 'Dark / light'),
        el('h1', {}, data.title), el('p', {}, data.lead),
        data.facts.length ? el('dl.facts', {}, ...data.facts.map(f => el('div', {}, el('dt', {}, f.name),
            el('dd', {'data-value': f.value}, brief(f.value), ' ', el('small', {}, f.of))))) : null,
        el('nav', {'aria-label': 'Contents'}, ...data.views.map((v, i) => el('a', {href: '#view-' + i}, v.title)),
            el('a', {href: '#record'}, 'Record of the run'))),
    main,
    el('footer', {}, `Written by Assay ${data.run.assay ?? ''}. This file needs no network.`));
data.views.forEach((view, i) => {
  const box = el('section', {id: 'view-' + i}, el('div.head', {}, el('h2', {}, view.title)),
      view.note ? el('p', {}, view.note) : null);
  main.append(box);
  views[view.kind](box, view);
});
main.append(record());
