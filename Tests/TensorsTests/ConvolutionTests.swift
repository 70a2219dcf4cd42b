import AttentionZooTestSupport
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
    /// Expects each element within what rounding allows a sum of so many products and a bias.
    private func expectValues(_ c: ConvolutionCase, _ bias: Tensor?) {
        func unsigned(_ x: Tensor) -> Tensor { Tensor(x.values.map { abs($0) }, shape: x.shape) }
        let (shape, values) = c.reference(c.input, c.weight, bias)
        let magnitudes = c.reference(unsigned(c.input), unsigned(c.weight), bias.map(unsigned)).values
        let got = c.apply(c.input, c.weight, bias)
        #expect(got.shape == shape)
        let terms = c.channels / c.groups * c.kernel + 1
        expectClose(got.values, values, within: magnitudes.map { Rounding.bound(terms, of: $0) })
    }

    @Test("Values agree with float64, with and without bias", arguments: ConvolutionCase.all)
    func values(_ c: ConvolutionCase) {
        expectValues(c, c.bias)
        expectValues(c, nil)
    }

    @Test("Gradients agree with central differences", arguments: ConvolutionCase.all)
    func gradients(_ c: ConvolutionCase) {
        checkGradients([c.input, c.weight, c.bias]) { c.apply($0[0], $0[1], $0[2]) }
        checkGradients([c.input, c.weight], layouts: [.dense]) { c.apply($0[0], $0[1], nil) }
    }

    @Test("A convolution long enough to be split over threads agrees with float64")
    func large() {
        let c = ConvolutionCase(batch: 1, channels: 8, length: 1000, outputs: 16, kernel: 5, stride: 2, padding: 2)
        expectValues(c, c.bias)
    }
}
