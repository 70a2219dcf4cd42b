import ModelZoo

/// Work of a fixed size whose instructions `Scripts/baselines` counts.
package struct InstructionCase {
    /// The name of the baseline, `group/what`.
    package let name: String
    /// Makes the inputs and returns the work, which may be done any number of times.
    let prepare: () throws -> () -> Void

    /// All cases: kernels with their gradients, then a training step and a generated token of each architecture.
    package static var all: [InstructionCase] { kernels + models }

    /// Does the work twice. The first time fills what is kept between uses, such as pools of memory; the second is counted.
    /// - Throws: `InputError` where a model cannot be made.
    package func run() throws {
        let work = try prepare()
        work()
        countedWork(work)
    }
}

/// Does the work. Callgrind knows this function by its name and counts what happens inside, so it is neither inlined nor left
/// by a jump into the work.
@inline(never)
@_optimize(none)
private func countedWork(_ work: () -> Void) { work() }
