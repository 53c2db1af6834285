window.footfall ||= Object.assign((...given) => footfall.q.push(["track", given]), { q: [] });
for (const name of ["identify", "reset", "consent", "flush"]) footfall[name] ||= (...given) => footfall.q.push([name, given]);
