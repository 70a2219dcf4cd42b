import Tensors

/// x + tanh(gate) · branch. x, branch: [...], the same shape; gate: [1]. Returns [...].
public func gatedResidual(_ x: Tensor, _ branch: Tensor, gate: Tensor) -> Tensor {
    require(
        x.shape == branch.shape && gate.shape == [1],
        "gatedResidual: x \(x.shape), branch \(branch.shape), gate \(gate.shape): expected equal shapes and a gate [1]")
    let (skip, added) = (x.contiguous(), branch.contiguous())
    let gain = tanh(gate.detached()).item
    let y = Tensor(uninitialized: x.shape)
    parallelRanges(y.count, grain: grain) { range in
        let (px, pb, py) = (skip.pointer, added.pointer, y.mutablePointer)
        for i in range { py[i] = px[i] + gain * pb[i] }
    }
    return .record("gatedResidual", y, inputs: [skip, added, gate]) { gradient, slots in
        slots[0].add(gradient)
        let dy = gradient.contiguous()
        slots[1].accumulate { destination, beta in
            parallelRanges(dy.count, grain: grain) { range in
                let pdy = dy.pointer
                if beta == 0 {
                    for i in range { destination[i] = gain * pdy[i] }
                } else {
                    for i in range { destination[i] += gain * pdy[i] }
                }
            }
        }
        if slots[2].isNeeded {
            let slope = (dy * added.detached()).sum().item
            slots[2].add(Tensor([(1 - gain * gain) * slope]))
        }
    }
}

/// Elements a thread takes at a time: 256 KB.
private let grain = 1 << 16

/// rmsNorm(x) · weight ⊙ silu(z). x, z: [..., d], the same shape; weight: [d]. Returns [..., d].
public func gatedNorm(_ x: Tensor, gate z: Tensor, weight: Tensor, epsilon: Float = 1e-6) -> Tensor {
    require(
        x.shape == z.shape && weight.rank == 1 && x.shape.last == weight.count,
        "gatedNorm: x \(x.shape), gate \(z.shape), weight \(weight.shape): expected equal shapes and a weight of a row's"
    )
    let (x, z, weight) = (x.contiguous(), z.contiguous(), weight.contiguous())
    let d = weight.count
    let blocks = RowBlocks(rows: x.count / max(d, 1), width: d)
    let (y, factors) = (Tensor(uninitialized: x.shape), Tensor(uninitialized: [blocks.rows]))
    @Sendable func normalize(_ rows: Range<Int>, into target: UnsafeMutablePointer<Float>) {
        VectorKernels.rootMeanSquareNorm(
            x.pointer + rows.lowerBound * d, weight: weight.pointer, epsilon: epsilon, into: target,
            factors: factors.mutablePointer + rows.lowerBound, rows: rows.count, width: d)
    }
    blocks.parallel(scratch: blocks.height * d) { rows, _, normalized in
        let place = rows.lowerBound * d
        normalize(rows, into: normalized)
        VectorKernels.gate(
            normalized, by: z.pointer + place, .silu, into: y.mutablePointer + place, rows: rows.count, width: d)
    }
    return .record("gatedNorm", y, inputs: [x, z, weight]) { gradient, slots in
        let (dy, dw) = (gradient.contiguous(), blocks.sums(width: d))
        accumulate(slots) { destinations in
            blocks.parallel(scratch: (2 * blocks.height + 2) * d) { rows, block, dx in
                let (place, count) = (rows.lowerBound * d, rows.count * d)
                let (dz, more) = (dx + count, dx + 2 * count)
                normalize(rows, into: dx)
                VectorKernels.gateGradient(
                    dx, by: z.pointer + place, .silu, dy: dy.pointer + place, into: dx, dz, rows: rows.count, width: d,
                    scratch: more)
                VectorKernels.rootMeanSquareNormGradient(
                    x.pointer + place, weight: weight.pointer, factors: factors.pointer + rows.lowerBound, dy: dx,
                    into: dx, addingTo: dw.pointer(block), rows: rows.count, width: d)
                for (source, destination) in [(dx, destinations[0]), (dz, destinations[1])] {
                    guard let destination else { continue }
                    VectorKernels.addScaled(
                        source, by: 1, to: destination.pointer + place, beta: destination.beta, count: count)
                }
            }
            if let destination = destinations[2] { dw.write(to: destination) }
        }
    }
}
