import CKernels
import Tensors

// Decays within a chunk of the memory (2412.06464, section 3.3). With S ← α_t S before token t, for tokens i ≤ t of a chunk
// that ends with token c,
//
//     G_ti = α_{i+1} ⋯ α_t      g_t = α_1 ⋯ α_t      r_i = G_ci
//
// multiply what tokens read from each other, from S, and what S is afterwards:
//
//     N ⊙ G      P ⊙ G      diag(g) K S      diag(g) Q S      S ← g_c S + (diag(r) K)ᵀ U
//
// All are products of decays rather than quotients of longer products, so that none overflows and each is exact to its last
// digits, however little a chunk keeps.

/// The decays of one chunk, in cache.
struct ChunkDecay {
    private let memory: Tensor
    private let c: Int, dv: Int
    /// g, [m]
    let kept: UnsafeMutablePointer<Float>
    /// G, [m, c]
    let products: UnsafeMutablePointer<Float>
    /// diag(r) U, [m, dv]
    private let lasting: UnsafeMutablePointer<Float>

    /// - Parameters:
    ///   - c: the most tokens of a chunk.
    ///   - dv: columns of values.
    init(tokens c: Int, values dv: Int) {
        (self.c, self.dv) = (c, dv)
        memory = Tensor(uninitialized: [c + c * c + c * dv])
        kept = memory.mutablePointer
        products = kept + c
        lasting = products + c * c
    }

    /// Computes the factors of a chunk of m tokens from ln α, `step` apart.
    func load(_ m: Int, _ logDecay: UnsafePointer<Float>, step: Int) {
        az_decay_products(m, logDecay, step, kept, products, c)
    }

    /// r, [m].
    func last(_ m: Int) -> UnsafePointer<Float> { UnsafePointer(products + (m - 1) * c) }

    /// g_c.
    func whole(_ m: Int) -> Float { kept[m - 1] }

    /// Multiplies a square [m, m], rows c apart, by G up to the diagonal.
    func fadeSquare(_ m: Int, _ square: UnsafeMutablePointer<Float>) {
        az_decay_square_forward(m, products, square, c)
    }

    /// Multiplies rows [m, width] by g.
    func fadeRows(_ m: Int, _ rows: UnsafeMutablePointer<Float>, _ width: Int) {
        az_scale_rows(m, width, kept, rows, width)
    }

    /// Returns diag(r) U.
    func lasting(_ m: Int, _ updates: UnsafePointer<Float>) -> UnsafePointer<Float> {
        az_multiply(m, dv, updates, dv, 1, last(m), 1, 0, lasting)
        return UnsafePointer(lasting)
    }
}

// The gradient. A decay is a factor of whatever passes its token: from S to reads of tokens from it on, from tokens before it
// to tokens from it on, from tokens before it and from S to S afterwards. With D = ∂L/∂S after the chunk, x_t the gradient of
// token t's reads under z_t (its key or query), and the other names of DeltaRuleBackward:
//
//     ∂L/∂ln α_j = Σ_{t ≥ j} g_t z_t·(x_t Sᵀ) + Σ_{t ≥ j > i} (dN̂ ⊙ N̂ + dP̂ ⊙ P̂)_ti + Σ_{i < j} r_i u_i·(k_i D) + g_c ⟨D, S⟩
//
// Its terms are as small as the decay, which a difference of sums without it would lose.

/// The gradient of one chunk's decays.
struct ChunkDecayGradient {
    private let memory: Tensor
    private let c: Int
    /// The parts of each token's gradient: of its reads from S, [2c], of its writes to S after the chunk, and of the scores
    /// within the chunk.
    private let reads: UnsafeMutablePointer<Float>, writes: UnsafeMutablePointer<Float>
    private let within: UnsafeMutablePointer<Float>
    private let scratch: UnsafeMutablePointer<Float>

    /// - Parameter c: the most tokens of a chunk.
    init(tokens c: Int) {
        self.c = c
        memory = Tensor(uninitialized: [5 * c])
        reads = memory.mutablePointer
        writes = reads + 2 * c
        within = writes + c
        scratch = within + c
    }

    /// Turns K D, [m, dv], into diag(r) K D and takes the tokens' part in S after the chunk.
    func takeWrites(_ m: Int, _ tile: DeltaRuleTile, _ rows: UnsafeMutablePointer<Float>) {
        az_scale_rows(m, tile.dv, tile.decay!.last(m), rows, tile.dv)
        az_row_dots(m, tile.dv, rows, tile.dv, tile.updates, tile.dv, writes)
    }

    /// Turns [dN̂; dP̂] into [dN; dP] and takes the tokens' part in each other.
    func takeSquares(_ m: Int, from low: Int, _ tile: DeltaRuleTile, _ squares: UnsafeMutablePointer<Float>) {
        az_fill(m, 0, within)
        for half in stride(from: low, to: 2 * m, by: m) {
            az_decay_square_backward(
                m, tile.decay!.products, tile.grams + half * c, squares + half * c, c, scratch, within)
        }
    }

    /// Multiplies the gradients of reads, [2m, dv], by g: those of reads from S.
    func fade(_ m: Int, from low: Int, _ tile: DeltaRuleTile, _ errors: UnsafeMutablePointer<Float>) {
        for half in stride(from: low, to: 2 * m, by: m) {
            tile.decay!.fadeRows(m, errors + half * tile.dv, tile.dv)
        }
    }

    /// Takes S's part in the tokens' reads from its part in the gradient of [K; Q].
    func takeReads(_ m: Int, from low: Int, _ tile: DeltaRuleTile, _ features: UnsafePointer<Float>) {
        let (dk, place) = (tile.dk, low * tile.dk)
        az_row_dots(2 * m - low, dk, features + place, dk, tile.features + place, dk, reads + low)
        if low == 0 { az_scale_add(m, 1, reads, 1, reads + m) }
    }

    /// Writes the gradient of ln α, `step` apart.
    /// - Parameters:
    ///   - state: S before the chunk; nil for zeros.
    ///   - after: D; nil for zeros.
    func store(
        _ m: Int, _ tile: DeltaRuleTile, state: UnsafePointer<Float>?, after: UnsafePointer<Float>?,
        into target: UnsafeMutablePointer<Float>, step: Int
    ) {
        if state == nil { az_fill(m, 0, reads + m) }
        if after == nil { az_fill(m, 0, writes) }
        var whole: Float = 0
        if let state, let after {
            az_row_dots(1, tile.dk * tile.dv, state, 0, after, 0, &whole)
            whole *= tile.decay!.whole(m)
        }
        az_decay_gradient(m, reads + m, writes, whole, within, target, step)
    }
}
