"""Archives: the forms that trees and containers are given to others in."""
