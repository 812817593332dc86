document.querySelectorAll('.slider input').forEach(function (input) {
  input.addEventListener('input', function () {
    input.parentNode.style.setProperty('--at', input.value + '%')
  })
})
// paper cannot be opened: what is folded is opened for printing, and only that is folded again afterwards
var opened = []
addEventListener('beforeprint', function () {
  opened = [].slice.call(document.querySelectorAll('details:not([open])'))
  opened.forEach(function (details) { details.open = true })
})
addEventListener('afterprint', function () {
  opened.forEach(function (details) { details.open = false })
})
