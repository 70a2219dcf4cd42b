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
