import Tensors
import Testing

/// One configuration of a convolution.
struct ConvolutionCase: Sendable, CustomTestStringConvertible {
    var batch = 2, channels = 4, length = 9, outputs = 6, kernel = 3
    var stride = 1, padding = 0, dilation = 1, groups = 1

    var testDescription: String {
        "\(batch)×\(channels)×\(length) → \(outputs), kernel \(kernel), stride \(stride), padding \(padding), "
            + "dilation \(dilation), groups \(groups)"
    }

    static let all = [
        ConvolutionCase(), ConvolutionCase(stride: 2), ConvolutionCase(padding: 2), ConvolutionCase(dilation: 3),
        ConvolutionCase(groups: 2), ConvolutionCase(stride: 3, padding: 4, dilation: 2, groups: 2),
        ConvolutionCase(outputs: 4, groups: 4), ConvolutionCase(outputs: 8, groups: 4), ConvolutionCase(kernel: 1),
        ConvolutionCase(length: 8, kernel: 4, stride: 4), ConvolutionCase(batch: 1, channels: 1, outputs: 1, kernel: 9),
        ConvolutionCase(batch: 1, channels: 3, length: 4, outputs: 5, kernel: 2, stride: 5),
        ConvolutionCase(batch: 3, length: 1, kernel: 5, padding: 2),
    ]

    var input: Tensor { sample([batch, channels, length], seed: 1) }
    var weight: Tensor { sample([outputs, channels / groups, kernel], seed: 2) }
    var bias: Tensor { sample([outputs], seed: 3) }

    func apply(_ x: Tensor, _ weight: Tensor, _ bias: Tensor?) -> Tensor {
        convolution1D(
            x, weight: weight, bias: bias, stride: stride, padding: padding, dilation: dilation, groups: groups)
    }

    func reference(_ x: Tensor, _ weight: Tensor, _ bias: Tensor?) -> (shape: [Int], values: [Double]) {
        let shape = [batch, outputs, (length + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1]
        let (inputs, each) = (channels / groups, outputs / groups)
        let values = expected(shape) { index in
            let (b, o, t) = (index[0], index[1], index[2])
            var sum = bias?.element([o]) ?? 0
            for c in 0..<inputs {
                for j in 0..<kernel {
                    let place = t * stride + j * dilation - padding
                    if !(0..<length).contains(place) { continue }
                    sum += weight.element([o, c, j]) * x.element([b, o / each * inputs + c, place])
                }
            }
            return sum
        }
        return (shape, values)
    }
}

@Suite struct ConvolutionTests {
    /// Sums of at most 12 products of size 1.
    @Test(arguments: ConvolutionCase.all) func values(_ c: ConvolutionCase) {
        let (shape, values) = c.reference(c.input, c.weight, c.bias)
        expectClose(c.apply(c.input, c.weight, c.bias), values, shape: shape, tolerance: 1e-6)
        expectClose(c.apply(c.input, c.weight, nil), c.reference(c.input, c.weight, nil).values, tolerance: 1e-6)
    }

    @Test(arguments: ConvolutionCase.all) func gradients(_ c: ConvolutionCase) {
        checkGradients([c.input, c.weight, c.bias]) { c.apply($0[0], $0[1], $0[2]) }
        checkGradients([c.input, c.weight], layouts: [.dense]) { c.apply($0[0], $0[1], nil) }
    }

    /// Long enough for products to be split over threads.
    @Test func large() {
        let c = ConvolutionCase(batch: 1, channels: 8, length: 1000, outputs: 16, kernel: 5, stride: 2, padding: 2)
        let (shape, values) = c.reference(c.input, c.weight, c.bias)
        // Sums of 40 products.
        expectClose(c.apply(c.input, c.weight, c.bias), values, shape: shape, tolerance: 3e-6)
    }
}
