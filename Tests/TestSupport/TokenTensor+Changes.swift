import Tensors

extension TokenTensor {
    /// The same with another token in one place, counted through all rows: what causality is tested with.
    public func changed(at place: Int, _ vocabulary: Int) -> TokenTensor {
        var result = self
        result.values[place] = (values[place] + 1) % Int32(vocabulary)
        return result
    }
}
