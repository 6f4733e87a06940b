//! The search in inverted lists: a tile of queries that lie together meets the cells near it, one after another, and
//! each query takes part only where its own bound says that the cell may hold neighbours of it.
//!
//! A cell's points are stored as residuals r = x − c in blocks of [`LANES`]; for a query y that takes part, with
//! v = y − c, half the squared distance is ‖v‖²/2 + ‖r‖²/2 − v·r: one fused multiply-add per coordinate, and its
//! cancellation is measured by the size of a cell, not by the distance from the origin.

use super::lanes::{Lane, ROWS, difference, distance2, products_4, products_6, squares_4, stride};
use crate::real::{LANES, vectorized};

/// Queries in a tile. They share the order of the cells, and a cell's points once they are in the cache: with 64 queries
/// the cells of GloVe come from memory so often that the search takes half as long again.
pub(super) const TILE: usize = 16 * LANES;
/// A cell with more points is stored as several lists of one centroid, which bounds a tile's smallest work: many
/// identical rows would all meet each other.
pub(super) const LIST: usize = 512;
/// Cells whose distances from a tile are computed in one go.
const CELLS_AT_ONCE: usize = 48;
/// A cell counts as near where its centroid is not farther than this multiple of the squared distance from the
/// query's own centroid: dense clumps, smaller than a cell, that a boundary of cells cuts.
pub(super) const BOUNDARY: f32 = 1.1;

/// Points sorted by cell.
pub(super) struct Lists<'a> {
    /// `[N, m]` the points as given.
    pub points: &'a [f32],
    /// Coordinates of a point.
    pub m: usize,
    /// [lists, stride(m)] centroids.
    pub centroids: Vec<f32>,
    /// [lists] the farthest that a point lies from its centroid.
    pub radii: Vec<f32>,
    /// [lists + 1] first block of each list.
    pub starts: Vec<u32>,
    /// [blocks, m] residuals x − c.
    residuals: Vec<Lane>,
    /// [blocks] ‖x − c‖²/2, NaN in lanes that hold no point: no comparison with it holds.
    halves: Vec<Lane>,
    /// [blocks] the points, ascending within a list, [`NONE`] in lanes without one.
    pub ids: Vec<[u32; LANES]>,
}

/// Points that a query meets before it looks at its bound, as a multiple of those to keep.
pub(super) const FIRST: usize = 2;
/// How much farther, squared, than its neighbours a centroid may be from a query: products of residuals then keep the
/// neighbours' squared distances to some 2⁻²⁴ · 4 · this = 10⁻³.
const CANCELLATION: f32 = 4096.0;

/// No point.
pub(super) const NONE: u32 = u32::MAX;

impl<'a> Lists<'a> {
    /// Sorts points `[N, m]` by cell.
    pub fn new(points: &'a [f32], m: usize, centroids: &[f32], of: &[u32]) -> Self {
        let wide = stride(m);
        let mut counts = vec![0u32; centroids.len() / wide + 1];
        for &c in of {
            counts[c as usize + 1] += 1;
        }
        for c in 1..counts.len() {
            counts[c] += counts[c - 1];
        }
        let mut next = counts.clone();
        let mut sorted = vec![0u32; of.len()];
        for (i, &c) in of.iter().enumerate() {
            sorted[next[c as usize] as usize] = i as u32;
            next[c as usize] += 1;
        }
        drop(next);
        let mut lists = Lists {
            points,
            m,
            centroids: Vec::with_capacity(centroids.len()),
            radii: Vec::new(),
            starts: vec![0],
            residuals: Vec::new(),
            halves: Vec::new(),
            ids: Vec::new(),
        };
        let n_blocks: usize = counts.windows(2).map(|w| ((w[1] - w[0]) as usize).div_ceil(LANES)).sum();
        lists.residuals.reserve_exact(n_blocks * m);
        lists.halves.reserve_exact(n_blocks);
        lists.ids.reserve_exact(n_blocks);
        for (centroid, range) in centroids.chunks_exact(wide).zip(counts.windows(2)) {
            for list in sorted[range[0] as usize..range[1] as usize].chunks(LIST) {
                lists.centroids.extend_from_slice(centroid);
                for members in list.chunks(LANES) {
                    let mut ids = [NONE; LANES];
                    ids[..members.len()].copy_from_slice(members);
                    let block = lists.residuals.len();
                    lists.residuals.resize(block + m, [0.0; LANES]);
                    let row = |l: usize| &points[ids[l] as usize * m..][..m];
                    let half = transpose(&mut lists.residuals[block..], members.len(), row, &centroid[..m]);
                    lists.halves.push(half);
                    lists.ids.push(ids);
                }
                let halves = &lists.halves[*lists.starts.last().unwrap_or(&0) as usize..];
                let farthest = halves.iter().flatten().fold(0.0f32, |a, &half| a.max(half));
                // Rounded up: what lies beyond is left out for good.
                lists.radii.push((2.0 * farthest).sqrt() * 1.0001);
                lists.starts.push(lists.ids.len() as u32);
            }
        }
        lists
    }

    /// The coordinates of a point.
    #[inline(always)]
    pub fn row(&self, i: u32) -> &'a [f32] {
        &self.points[i as usize * self.m..][..self.m]
    }

    /// The centroid of a list.
    #[inline(always)]
    pub fn centroid(&self, list: u32) -> &[f32] {
        &self.centroids[list as usize * stride(self.m)..][..self.m]
    }

    /// The mean of some points, padded: the middle of a tile, around which few cells need be looked at.
    #[inline(always)]
    pub fn middle(&self, queries: &[u32]) -> Vec<f32> {
        let mut middle = vec![0.0f32; stride(self.m)];
        for &i in queries {
            for (middle, x) in middle.iter_mut().zip(self.row(i)) {
                *middle += x / queries.len() as f32;
            }
        }
        middle
    }

    /// All lists, by squared distance of their centroid from a point (padded).
    #[inline(always)]
    pub fn around(&self, origin: &[f32], order: &mut Vec<(f32, u32)>) {
        order.clear();
        for (list, centroid) in self.centroids.chunks_exact(origin.len()).enumerate() {
            order.push((distance2(origin, centroid), list as u32));
        }
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    }

    /// How many lists there are.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// All points with their lists, in the order of the lists.
    pub fn members(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.starts.windows(2).enumerate().flat_map(|(list, blocks)| {
            let members = self.ids[blocks[0] as usize..blocks[1] as usize].iter().flatten();
            members.filter(|&&i| i != NONE).map(move |&i| (i, list as u32))
        })
    }
}

/// Writes `count` rows minus an origin as a block, and returns half their squared lengths, NaN where there is no row.
#[inline(always)]
fn transpose<'r>(block: &mut [Lane], count: usize, row: impl Fn(usize) -> &'r [f32], origin: &[f32]) -> Lane {
    let mut half = [f32::NAN; LANES];
    for l in 0..count {
        let mut sum = 0.0;
        for ((lanes, &x), &o) in block.iter_mut().zip(row(l)).zip(origin) {
            let r = x - o;
            lanes[l] = r;
            sum += r * r;
        }
        half[l] = sum / 2.0;
    }
    half
}

/// What one thread needs for a tile of queries; made once, used for many tiles.
pub(super) struct Tile {
    /// How many are kept for each query: k and the query itself.
    keep: usize,
    /// Room for each query's candidates.
    room: usize,
    /// [TILE, room] candidates: ordered bits of half the squared distance above, point below. Smaller is nearer, and of
    /// equals the smaller index.
    keys: Vec<u64>,
    /// [TILE] candidates of each query.
    lens: [usize; TILE],
    /// [TILE] half the squared distance of the keep-th nearest so far; infinite while there are fewer.
    bounds: [f32; TILE],
    /// [TILE] the largest squared distance of a query from the centroid of a cell that it met.
    coarsest: [f32; TILE],
    /// [TILE, stride(m)] the queries.
    rows: Vec<f32>,
    /// [TILE/LANES, m] the queries minus the tile's origin, and half their squared lengths.
    lanes: Vec<Lane>,
    halves: [Lane; TILE / LANES],
    /// Blocks of lanes in use.
    n_lanes: usize,
    /// For each query: its list, the squared distance of a centroid below which a cell counts as near whatever the
    /// neighbours' distance, that below which it is met, −∞ for lanes that take no part, the distance of the farthest
    /// neighbour so far, and the squared distance below which cells were met before.
    homes: [[u32; LANES]; TILE / LANES],
    boundaries: [Lane; TILE / LANES],
    limits: [Lane; TILE / LANES],
    roots: [Lane; TILE / LANES],
    met: [Lane; TILE / LANES],
    /// Cells by squared distance of the centroid from the origin.
    order: Vec<(f32, u32)>,
    /// [CELLS_AT_ONCE, stride(m)] origin − centroid, and [CELLS_AT_ONCE, TILE] ‖query − centroid‖².
    towards: Vec<f32>,
    d2: Vec<Lane>,
    /// [ROWS, stride(m)] centroid − query of the queries that meet a cell.
    offsets: Vec<f32>,
    /// [ROWS] sums of products of a group with a block.
    sums: [Lane; ROWS],
    /// Distances computed, of points and centroids.
    pub computed: u64,
}

impl Tile {
    pub fn new(m: usize, k: usize) -> Self {
        let wide = stride(m);
        let keep = k + 1;
        let room = keep + (keep / 2).max(LANES) + LANES;
        Tile {
            keep,
            room,
            keys: vec![0; TILE * room],
            lens: [0; TILE],
            bounds: [0.0; TILE],
            coarsest: [0.0; TILE],
            rows: vec![0.0; TILE * wide],
            lanes: vec![[0.0; LANES]; TILE / LANES * m],
            halves: [[0.0; LANES]; TILE / LANES],
            n_lanes: 0,
            homes: [[NONE; LANES]; TILE / LANES],
            boundaries: [[0.0; LANES]; TILE / LANES],
            limits: [[0.0; LANES]; TILE / LANES],
            roots: [[0.0; LANES]; TILE / LANES],
            met: [[0.0; LANES]; TILE / LANES],
            order: Vec::new(),
            towards: vec![0.0; CELLS_AT_ONCE * wide],
            d2: vec![[0.0; LANES]; CELLS_AT_ONCE * TILE / LANES],
            offsets: vec![0.0; ROWS * wide],
            sums: [[0.0; LANES]; ROWS],
            computed: 0,
        }
    }

    /// Finds for each of at most [`TILE`] queries its nearest points, itself among them, in its own list (`homes`) and in
    /// those whose centroid is not farther than √`reach` times the distance of the farthest neighbour.
    pub fn search(&mut self, lists: &Lists, queries: &[u32], homes: &[u32], reach: f32) {
        vectorized(
            #[inline(always)]
            || self.search_inner(lists, queries, homes, reach),
        );
    }

    /// The points found near query `q` of the last search, in no order; one more than the neighbours asked for, and
    /// that last.
    pub fn found(&mut self, q: usize) -> impl Iterator<Item = u32> + '_ {
        self.shrink(q);
        self.keys[q * self.room..][..self.lens[q]].iter().map(|&key| key as u32)
    }

    #[inline(always)]
    fn search_inner(&mut self, lists: &Lists, queries: &[u32], homes: &[u32], reach: f32) {
        let (m, wide) = (lists.m, stride(lists.m));
        self.n_lanes = queries.len().div_ceil(LANES);
        for (row, &i) in self.rows.chunks_exact_mut(wide).zip(queries) {
            row[..m].copy_from_slice(lists.row(i));
        }
        let origin = lists.middle(queries);
        for (b, (block, queries)) in self.lanes.chunks_exact_mut(m).zip(queries.chunks(LANES)).enumerate() {
            self.halves[b] = transpose(block, queries.len(), |l| lists.row(queries[l]), &origin[..m]);
        }
        let mut order = std::mem::take(&mut self.order);
        lists.around(&origin, &mut order);

        self.lens = [0; TILE];
        self.bounds = [f32::INFINITY; TILE];
        self.coarsest = [0.0; TILE];
        self.homes = [[NONE; LANES]; TILE / LANES];
        self.boundaries = [[0.0; LANES]; TILE / LANES];
        for (q, &home) in homes.iter().enumerate() {
            let centroid = &lists.centroids[home as usize * wide..][..wide];
            self.homes[q / LANES][q % LANES] = home;
            self.boundaries[q / LANES][q % LANES] =
                BOUNDARY * difference(&self.rows[q * wide..(q + 1) * wide], centroid, &mut self.towards[..wide]);
        }
        let everyone: Vec<u16> = (0..queries.len() as u16).collect();
        self.sweep::<false>(lists, &order, &origin, &everyone, reach);
        // Clumps far smaller than the cells that hold them: the products have lost their distances. Once more, slowly.
        let blurred: Vec<u16> = everyone
            .into_iter()
            .filter(|&q| self.coarsest[q as usize] > CANCELLATION * 2.0 * self.bounds[q as usize])
            .collect();
        if !blurred.is_empty() {
            for &q in &blurred {
                self.lens[q as usize] = 0;
                self.bounds[q as usize] = f32::INFINITY;
            }
            self.sweep::<true>(lists, &order, &origin, &blurred, reach);
        }
        self.order = order;
    }

    /// Some queries of the tile through all cells, in the order of their distance from the tile.
    #[inline(always)]
    fn sweep<const SLOWLY: bool>(
        &mut self,
        lists: &Lists,
        order: &[(f32, u32)],
        origin: &[f32],
        queries: &[u16],
        reach: f32,
    ) {
        self.limits = [[f32::NEG_INFINITY; LANES]; TILE / LANES];
        self.met = [[f32::NEG_INFINITY; LANES]; TILE / LANES];
        for (chunk, cells) in order.chunks(CELLS_AT_ONCE).enumerate() {
            let mut farthest = 0.0f32;
            for &q in queries {
                let (b, l) = (q as usize / LANES, q as usize % LANES);
                self.learn::<SLOWLY>(q as usize, reach);
                farthest = farthest.max((2.0 * self.halves[b][l]).sqrt() + self.limits[b][l].sqrt());
            }
            // The triangle inequality: no query reaches a cell as far as this, or any later one.
            if cells[0].0.sqrt() > 1.0001 * farthest {
                break;
            }
            self.approach(lists, cells, origin);
            self.computed += (cells.len() * queries.len()) as u64;
            if chunk == 0 {
                // First only the nearest cells of each query, for a bound that spares the others.
                for &q in queries {
                    let first = self.first_limit(lists, cells, q as usize);
                    self.limits[q as usize / LANES][q as usize % LANES] = first;
                }
                self.visit::<SLOWLY>(lists, cells, reach, true);
                self.met = self.limits;
                for &q in queries {
                    self.shrink(q as usize);
                    self.learn::<SLOWLY>(q as usize, reach);
                }
            }
            self.visit::<SLOWLY>(lists, cells, reach, false);
            if chunk == 0 {
                self.met = [[f32::NEG_INFINITY; LANES]; TILE / LANES];
            }
        }
    }

    /// Takes over the bound of a query: how far it reaches.
    #[inline(always)]
    fn learn<const SLOWLY: bool>(&mut self, q: usize, reach: f32) {
        let (b, l) = (q / LANES, q % LANES);
        self.limits[b][l] = limit::<SLOWLY>(self.bounds[q], reach, self.boundaries[b][l]);
        self.roots[b][l] = (2.0 * self.bounds[q]).max(0.0).sqrt();
    }

    /// Some cells, each met by the queries that reach it and have not met it; `first` keeps the limits as they are.
    #[inline(always)]
    fn visit<const SLOWLY: bool>(&mut self, lists: &Lists, cells: &[(f32, u32)], reach: f32, first: bool) {
        let mut meeting = [0u16; TILE];
        for (c, &(_, list)) in cells.iter().enumerate() {
            let radius = lists.radii[list as usize];
            let mut n_meeting = 0;
            for b in 0..self.n_lanes {
                let d2 = &self.d2[c * (TILE / LANES) + b];
                let (limits, roots, met, homes) = (&self.limits[b], &self.roots[b], &self.met[b], &self.homes[b]);
                let mut near = [0u32; LANES];
                let mut any = 0;
                for l in 0..LANES {
                    let touching = (roots[l] + radius) * (roots[l] + radius);
                    let reached = u32::from(d2[l] < limits[l]) & u32::from(d2[l] <= touching);
                    let home = u32::from(homes[l] == list) & u32::from(limits[l] >= 0.0);
                    // met is −∞ where nothing was, and the home is met first.
                    let fresh = u32::from(met[l] == f32::NEG_INFINITY) | (u32::from(d2[l] >= met[l]) & (1 - home));
                    near[l] = (reached | home) & fresh;
                    any |= near[l];
                }
                if any != 0 {
                    for (l, &near) in near.iter().enumerate() {
                        meeting[n_meeting.min(TILE - 1)] = (b * LANES + l) as u16;
                        n_meeting += near as usize;
                    }
                }
            }
            if n_meeting > 0 {
                self.meet::<SLOWLY>(lists, list as usize, &meeting[..n_meeting]);
                if !first {
                    for &q in &meeting[..n_meeting] {
                        self.learn::<SLOWLY>(q as usize, reach);
                    }
                }
            }
        }
    }

    /// The squared distance of a centroid below which lie enough cells to find a first bound.
    fn first_limit(&mut self, lists: &Lists, cells: &[(f32, u32)], q: usize) -> f32 {
        let mut nearest = [(0.0f32, 0u32); CELLS_AT_ONCE];
        for (c, (nearest, &(_, list))) in nearest.iter_mut().zip(cells).enumerate() {
            let list = list as usize;
            let blocks = lists.starts[list + 1] - lists.starts[list];
            *nearest = (self.d2[c * (TILE / LANES) + q / LANES][q % LANES], blocks);
        }
        let nearest = &mut nearest[..cells.len()];
        nearest.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut room = (FIRST * self.keep).div_ceil(LANES);
        for &(d2, blocks) in nearest.iter() {
            if room == 0 {
                return d2;
            }
            room = room.saturating_sub(blocks as usize);
        }
        f32::INFINITY
    }

    /// Squared distances of all queries from some centroids: ‖r‖² + ‖t‖² + 2 r·t with r = query − origin and
    /// t = origin − centroid.
    #[inline(always)]
    fn approach(&mut self, lists: &Lists, cells: &[(f32, u32)], origin: &[f32]) {
        let (m, wide) = (lists.m, stride(lists.m));
        for (towards, &(_, list)) in self.towards.chunks_exact_mut(wide).zip(cells) {
            difference(origin, &lists.centroids[list as usize * wide..][..wide], towards);
        }
        for first in (0..cells.len()).step_by(ROWS) {
            let last = cells.len() - 1;
            let rows: [&[f32]; ROWS] = std::array::from_fn(|c| &self.towards[(first + c).min(last) * wide..][..wide]);
            for b in 0..self.n_lanes {
                products_6(rows, &self.lanes[b * m..(b + 1) * m], &self.halves[b], &mut self.sums);
                for (c, sums) in self.sums.iter().enumerate().take(cells.len() - first) {
                    let square = cells[first + c].0;
                    let d2 = &mut self.d2[(first + c) * (TILE / LANES) + b];
                    for l in 0..LANES {
                        d2[l] = sums[l].mul_add(2.0, square).max(0.0);
                    }
                }
            }
        }
    }

    /// Some queries against all points of a list, in groups of six and, so that none is padded by much, of four.
    #[inline(always)]
    fn meet<const SLOWLY: bool>(&mut self, lists: &Lists, list: usize, mut queries: &[u16]) {
        while !queries.is_empty() {
            let six = !SLOWLY && !matches!(queries.len(), 1..=4 | 7 | 8);
            let (group, rest) = queries.split_at(queries.len().min(if six { 6 } else { 4 }));
            if six {
                self.meet_group::<6, SLOWLY>(lists, list, group);
            } else {
                self.meet_group::<4, SLOWLY>(lists, list, group);
            }
            queries = rest;
        }
    }

    #[inline(always)]
    fn meet_group<const Q: usize, const SLOWLY: bool>(&mut self, lists: &Lists, list: usize, queries: &[u16]) {
        let (m, wide) = (lists.m, stride(lists.m));
        let blocks = lists.starts[list] as usize..lists.starts[list + 1] as usize;
        self.computed += (queries.len() * LANES * blocks.len()) as u64;
        let centroid = &lists.centroids[list * wide..(list + 1) * wide];
        let mut offsets = std::mem::take(&mut self.offsets);
        let mut shifts = [0.0f32; Q];
        for ((&q, offset), shift) in queries.iter().zip(offsets.chunks_exact_mut(wide)).zip(&mut shifts) {
            let d2 = difference(centroid, &self.rows[q as usize * wide..][..wide], offset);
            self.coarsest[q as usize] = self.coarsest[q as usize].max(d2);
            *shift = if SLOWLY { 0.0 } else { d2 / 2.0 };
        }
        // Rows beyond the queries hold some earlier ones; their sums are not looked at.
        let row = |q: usize| &offsets[q * wide..(q + 1) * wide];
        for b in blocks {
            let (block, start) = (&lists.residuals[b * m..(b + 1) * m], &lists.halves[b]);
            if SLOWLY {
                squares_4([row(0), row(1), row(2), row(3)], block, start, &mut self.sums);
            } else if Q == 4 {
                products_4([row(0), row(1), row(2), row(3)], block, start, &mut self.sums);
            } else {
                products_6([row(0), row(1), row(2), row(3), row(4), row(5)], block, start, &mut self.sums);
            }
            for (r, (&q, &shift)) in queries.iter().zip(&shifts).enumerate() {
                self.offer(q as usize, shift, r, &lists.ids[b]);
            }
        }
        for &q in queries {
            // The first bound as soon as there can be one.
            if self.bounds[q as usize] == f32::INFINITY && self.lens[q as usize] >= self.keep {
                self.shrink(q as usize);
            }
        }
        self.offsets = offsets;
    }

    /// A block of candidates for one query, at half the squared distances `sums[row]` + `shift`.
    #[inline(always)]
    fn offer(&mut self, q: usize, shift: f32, row: usize, ids: &[u32; LANES]) {
        let bound = self.bounds[q] - shift;
        let sums = &self.sums[row];
        let mut any = false;
        for &sum in sums {
            any |= sum < bound;
        }
        if !any {
            return;
        }
        let keys = &mut self.keys[q * self.room..(q + 1) * self.room];
        let mut len = self.lens[q];
        // Every lane is written, and the next one over it unless it was near: no branch to mispredict.
        for l in 0..LANES {
            keys[len] = u64::from(ordered(sums[l] + shift)) << 32 | u64::from(ids[l]);
            len += usize::from(sums[l] < bound);
        }
        self.lens[q] = len;
        if len + LANES > self.room {
            self.shrink(q);
        }
    }

    /// Keeps the nearest of a query's candidates, and learns its bound.
    fn shrink(&mut self, q: usize) {
        if self.lens[q] >= self.keep {
            let keys = &mut self.keys[q * self.room..][..self.lens[q]];
            let (_, &mut last, _) = keys.select_nth_unstable(self.keep - 1);
            self.lens[q] = self.keep;
            self.bounds[q] = unordered((last >> 32) as u32);
        }
    }
}

/// The squared distance of a centroid below which a query meets its cell.
#[inline(always)]
fn limit<const SLOWLY: bool>(bound: f32, reach: f32, boundary: f32) -> f32 {
    if bound == f32::INFINITY {
        f32::INFINITY
    } else if if SLOWLY { bound <= 0.0 } else { boundary > 2.0 * BOUNDARY * CANCELLATION * 2.0 * bound } {
        // Nothing is nearer than identical rows; and what products blur is searched for again, slowly. Either way more
        // cells would be in vain, and there may be many: those of a row that occurs a hundred thousand times.
        0.0
    } else if reach == f32::INFINITY {
        f32::INFINITY
    } else {
        boundary.max(reach * 2.0 * bound)
    }
}

/// Bits that compare as the numbers do.
#[inline(always)]
fn ordered(x: f32) -> u32 {
    let bits = x.to_bits();
    bits ^ (((bits as i32) >> 31) as u32 | 0x8000_0000)
}

/// The number with these ordered bits.
#[inline(always)]
fn unordered(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 { bits ^ 0x8000_0000 } else { !bits })
}
