import CommandSupport
import Comparing

@main
struct Compare: Command {
    func run() throws {}
}
