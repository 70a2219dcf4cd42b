import CKernels

/// Correlation over the last axis, as `torch.nn.functional.conv1d`: y[o, t] = bias[o] + Σ weight[o, c, j] ·
/// x[c, t · stride + j · dilation − padding], with zeros outside and each group of output channels reading its own group
/// of input channels.
///
/// x: [b, c, n]; weight: [o, c / groups, kernel]; bias: [o] or nil. Returns [b, o, out] with
/// out = (n + 2 · padding − dilation · (kernel − 1) − 1) / stride + 1.
public func convolution1D(
    _ x: Tensor, weight: Tensor, bias: Tensor? = nil, stride: Int = 1, padding: Int = 0, dilation: Int = 1,
    groups: Int = 1
) -> Tensor {
    let plan = ConvolutionPlan(
        x, weight: weight, bias: bias, stride: stride, padding: padding, dilation: dilation, groups: groups)
    let (input, kernel) = (x.contiguous(), weight.contiguous())
    let y = plan.forward(input, kernel, bias?.contiguous())
    return .record("convolution1D", y, inputs: [x, weight] + [bias].compactMap { $0 }) { gradient, slots in
        let dy = gradient.contiguous()
        if slots[0].isNeeded { slots[0].add(plan.inputGradient(dy, kernel)) }
        if slots[1].isNeeded { plan.addWeightGradient(dy, input, to: slots[1]) }
        if slots.count > 2 && slots[2].isNeeded { slots[2].add(dy.sum(axes: [0, 2])) }
    }
}

/// The sizes of a convolution done as products: each (batch item, group) unfolds its input to columns
/// [channels · kernel, out], which the group's weights [outputs, channels · kernel] multiply.
private struct ConvolutionPlan: Sendable {
    let batch: Int, length: Int, out: Int, groups: Int
    /// The channels and outputs of one group.
    let channels: Int, outputs: Int
    let kernel: Int, stride: Int, padding: Int, dilation: Int

    var rows: Int { channels * kernel }

    init(
        _ x: Tensor, weight: Tensor, bias: Tensor?, stride: Int, padding: Int, dilation: Int, groups: Int
    ) {
        let shapes = "convolution1D: input \(x.shape), weight \(weight.shape)"
        require(x.rank == 3 && weight.rank == 3, "\(shapes): expected three axes each")
        require(
            stride > 0 && padding >= 0 && dilation > 0 && groups > 0,
            "\(shapes): stride \(stride), padding \(padding), dilation \(dilation), groups \(groups)")
        require(
            x.shape[1] == weight.shape[1] * groups && weight.shape[0] % groups == 0,
            "\(shapes): channels do not fit \(groups) groups")
        require(bias.map { $0.shape == [weight.shape[0]] } ?? true, "\(shapes): bias \(bias?.shape ?? [])")
        let reach = dilation * (weight.shape[2] - 1) + 1
        require(
            weight.shape[2] > 0 && x.shape[2] + 2 * padding >= reach,
            "\(shapes): the kernel reaches over \(reach) of \(x.shape[2] + 2 * padding) padded elements")
        (batch, length) = (x.shape[0], x.shape[2])
        (channels, outputs) = (weight.shape[1], weight.shape[0] / groups)
        (kernel, self.stride, self.padding, self.dilation, self.groups) =
            (weight.shape[2], stride, padding, dilation, groups)
        out = (length + 2 * padding - reach) / stride + 1
    }

    func forward(_ x: Tensor, _ weight: Tensor, _ bias: Tensor?) -> Tensor {
        let y = Tensor(uninitialized: [batch, groups * outputs, out])
        each(batch * groups) { item, inParallel in
            let group = item % groups
            let target = y.mutablePointer + item * outputs * out
            if let bias {
                for o in 0..<outputs { az_fill(out, bias.pointer[group * outputs + o], target + o * out) }
            }
            let columns = unfolded(x, item)
            product(
                (outputs, out, rows), inParallel: inParallel,
                .init(weight.pointer + group * outputs * rows, stride: rows),
                .init(columns.pointer, stride: out), beta: bias == nil ? 0 : 1, into: target, stride: out)
        }
        return y
    }

    /// dX = folded Wᵀ · dY.
    func inputGradient(_ dy: Tensor, _ weight: Tensor) -> Tensor {
        let dx = Tensor(uninitialized: [batch, groups * channels, length])
        each(batch * groups) { item, inParallel in
            let columns = Tensor(uninitialized: [rows, out])
            product(
                (rows, out, outputs), inParallel: inParallel,
                .init(weight.pointer + item % groups * outputs * rows, stride: rows, transposed: true),
                .init(dy.pointer + item * outputs * out, stride: out), beta: 0, into: columns.mutablePointer,
                stride: out)
            let target = dx.mutablePointer + item * channels * length
            az_fill(channels * length, 0, target)
            az_fold_1d(channels, length, kernel, stride, padding, dilation, out, columns.pointer, target)
        }
        return dx
    }

    /// dW += Σ over the batch of dY · columnsᵀ, in the batch's order.
    func addWeightGradient(_ dy: Tensor, _ x: Tensor, to slot: InputGradient) {
        slot.accumulate { destination, beta in
            if batch == 0 && beta == 0 { az_fill(groups * outputs * rows, 0, destination) }
            each(groups) { group, inParallel in
                for b in 0..<batch {
                    let item = b * groups + group
                    let columns = unfolded(x, item)
                    product(
                        (outputs, rows, out), inParallel: inParallel,
                        .init(dy.pointer + item * outputs * out, stride: out),
                        .init(columns.pointer, stride: out, transposed: true), beta: b == 0 ? beta : 1,
                        into: destination + group * outputs * rows, stride: rows)
                }
            }
        }
    }

    private func unfolded(_ x: Tensor, _ item: Int) -> Tensor {
        let columns = Tensor(uninitialized: [rows, out])
        az_unfold_1d(
            channels, length, kernel, stride, padding, dilation, out, x.pointer + item * channels * length,
            columns.mutablePointer)
        return columns
    }

    /// Items in parallel, or one after the other with parallel products where there are fewer items than threads.
    private func each(_ count: Int, _ body: (Int, Bool) -> Void) {
        if count < Threads.count {
            for item in 0..<count { body(item, true) }
        } else {
            parallelFor(count) { body($0, false) }
        }
    }

    private func product(
        _ size: (m: Int, n: Int, k: Int), inParallel: Bool, _ a: BLAS.Operand, _ b: BLAS.Operand, beta: Float,
        into c: UnsafeMutablePointer<Float>, stride: Int
    ) {
        let (m, n, k) = size
        if inParallel {
            BLAS.multiplyInParallel(m, n, k, a, b, beta: beta, c, stride: stride)
        } else {
            BLAS.multiply(m, n, k, a, b, beta: beta, c, stride: stride)
        }
    }
}
