throw new Error('the program is broken')
